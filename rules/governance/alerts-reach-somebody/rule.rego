# METADATA
# title: what goes wrong reaches somebody
# description: >-
#   Once there are alert policies, each tier of rank 0 or 1 that has data is watched by one that hears of missed backups,
#   tells somebody at once, and in the end a pager. A policy that watches nothing or tells nobody is none.
# custom:
#   code: SW0324
#   severity: error
#   looks_at: alerts
#   controls:
#     - NIST SP 800-53r5 IR-6
#     - NIST SP 800-53r5 SI-4
#     - NIST SP 800-34r1 4.2.2
#     - ISO/IEC 27001:2022 A.8.16
#     - SOC 2 CC7.2
package seawall.rules.governance.alerts_reach_somebody

import rego.v1

import data.seawall.lib.tier

deny contains finding if {
	count(input.settings.alerts) > 0
	some id in {dataset.criticality | some dataset in input.datasets; tier.critical(dataset)}
	not id in {watched | some policy in input.settings.alerts; some watched in policy.tiers}
	finding := {
		"at": ["settings", "tiers", id, "tier_id"],
		"msg": sprintf("no alert policy watches data of `%s`", [id]),
		"help": "name the tier in the `tiers` of an AlertPolicy",
	}
}

deny contains finding if {
	some id, policy in input.settings.alerts
	not "backup_success" in {threshold.watch | some threshold in policy.thresholds}
	finding := {
		"at": ["settings", "alerts", id, "thresholds"],
		"msg": sprintf("alert policy `%s` does not hear of backups that are missed", [id]),
		"help": "watch `backup_success`",
	}
}

deny contains finding if {
	some id, policy in input.settings.alerts
	not 0 in {step.after_s | some step in policy.escalation}
	finding := {
		"at": ["settings", "alerts", id, "escalation"],
		"msg": sprintf("alert policy `%s` tells nobody at once", [id]),
		"help": "begin the escalation with `after: PT0S`",
	}
}

deny contains finding if {
	some id, policy in input.settings.alerts
	some watched in policy.tiers
	tier.critical({"criticality": watched})
	not "paging" in {medium(channel) | some step in policy.escalation; some channel in step.channels}
	finding := {
		"at": ["settings", "alerts", id, "escalation"],
		"msg": sprintf("alert policy `%s` wakes nobody, and watches `%s`", [id, watched]),
		"because": [["settings", "alerts", id, "tiers"]],
		"help": "let the last step reach a channel with `medium: paging`",
	}
}

medium(channel) := object.get(input, ["settings", "channels", channel, "medium"], "none")
