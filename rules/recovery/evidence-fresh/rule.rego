# METADATA
# title: receipts show lately that data has sound recovery points and comes back
# description: >-
#   Where receipts are given, they show for every dataset with a plan a recovery point that a check found sound within the
#   staleness limit of its tier, none that a check did not find sound, and a restore that succeeded as often as the tier asks
#   for restore tests. No log means that nothing is known.
# custom:
#   code: SW0327
#   severity: error
#   looks_at: evidence
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST SP 800-53r5 CP-9(1)
#     - NIST SP 800-53r5 CP-9(2)
#     - NIST SP 800-34r1 3.5.1
#     - NIST CSF 2.0 PR.DS-11
#     - NIST CSF 2.0 RC.RP-03
#     - ISO/IEC 27001:2022 A.8.13
#     - SOC 2 A1.3
#     - CIS v8 11.2
#     - CIS v8 11.5
#     - DORA 12(2)
#     - AWS Backup Audit Manager BACKUP_LAST_RECOVERY_POINT_CREATED
#     - 3-2-1-1-0 0
package seawall.rules.recovery.evidence_fresh

import rego.v1

import data.seawall.lib.duration
import data.seawall.lib.plans

# Of a reconciler whose log was not given nobody knows what it did. Without any log nothing was asked.
deny contains finding if {
	some id, _ in plans.of
	dataset := input.datasets[id]
	site := object.get(input, ["settings", "sites", dataset.site], {})
	not is_object(input.facts.evidence.logs[site.reconciler_id])
	is_object(input.facts.evidence)
	finding := {
		"at": ["settings", "sites", dataset.site, "reconciler_id"],
		"msg": sprintf("no receipts were given of `%s`, which acts at site `%s`", [site.reconciler_id, dataset.site]),
		"help": "run `seawalld receipts export` there and give its folder with another `--evidence`",
	}
}

deny contains finding if {
	some id, fact in input.facts.datasets
	some reason in fact.evidence.stale
	told := about(id, reason)
	finding := object.union({"at": ["datasets", id, "dataset_id"]}, told)
}

about(id, reason) := {
	"msg": sprintf("no receipt shows a recovery point of `%s` that a check found sound", [id]),
	"help": "look at `seawalld status` and `seawalld catalog`: a backup and its check have to succeed",
} if {
	reason.why == "no_point"
}

about(id, reason) := {
	"at": ["datasets", id, "criticality"],
	"label": "evidence of this tier ages",
	"msg": sprintf("the newest sound recovery point of `%s` was checked %s ago, the tier allows %s", [id, duration.human(reason.seconds), duration.human(reason.limit_s)]),
	"because": [{"at": ["settings", "tiers", input.datasets[id].criticality, "staleness_limit_s"], "label": "allowed here"}],
	"help": "look at `seawalld status` why nothing newer was checked, or give a newer export",
	"measure": {"seconds": reason.seconds},
} if {
	reason.why == "unchecked"
}

about(id, reason) := {
	"msg": sprintf("recovery point `%s` of `%s` did not pass its last check", [reason.backup_id, id]),
	"help": "look at `seawalld catalog` and repair the location; a check that passes ends this",
} if {
	reason.why == "unsound"
}

about(id, reason) := {
	"at": ["datasets", id, "criticality"],
	"label": "this tier is restored for a test",
	"msg": sprintf("%s, the tier asks for one every %s", [unrestored(id, reason), duration.human(reason.limit_s)]),
	"because": [{"at": ["settings", "tiers", input.datasets[id].criticality, "restore_test_every_s"], "label": "asked for here"}],
	"help": "restore it side by side, for example with `seawalld restore`",
	"measure": {"seconds": reason.seconds},
} if {
	reason.why == "unrestored"
}

about(id, reason) := {
	"msg": sprintf("the last restore of `%s` did not succeed", [id]),
	"help": "find out why in `seawalld receipts`, and restore it again",
} if {
	reason.why == "restore_failed"
}

unrestored(id, reason) := sprintf("the last restore of `%s` that succeeded is %s old", [id, duration.human(reason.seconds)]) if {
	reason.ever
} else := sprintf("no restore of `%s` succeeded in the %s since it had a recovery point", [id, duration.human(reason.seconds)])
