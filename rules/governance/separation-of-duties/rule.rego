# METADATA
# title: what destroys needs two persons
# description: >-
#   In production every action that overwrites, deletes or moves data of tier 0 or 1 asks for one approval or more, by a role
#   that may do it and that exists. And no role may both stop backups and delete recovery points.
# custom:
#   code: SW0314
#   severity: error
#   looks_at: critical_datasets_in_production
#   controls:
#     - NIST SP 800-53r5 AC-5
#     - NIST SP 800-53r5 AC-3(2)
#     - NIST SP 800-53r5 CP-9(7)
#     - NIST SP 800-34r1 3.4.6
#     - ISO/IEC 27001:2022 A.5.3
#     - SOC 2 CC6.3
#     - CIS v8 6.8
#     - CIS v8 11.3
#     - AWS Backup Audit Manager BACKUP_RECOVERY_POINT_MANUAL_DELETION_DISABLED
package seawall.rules.governance.separation_of_duties

import rego.v1

import data.seawall.lib.tier

destructive := {"restore_in_place", "purge", "suspend", "failover", "break_glass"}

deny contains finding if {
	not input.environment.production == false
	some tier_id, _ in input.settings.tiers
	tier.critical({"criticality": tier_id})
	some dataset in input.datasets
	dataset.criticality == tier_id
	some action in destructive
	not approved(action, tier_id)
	finding := {
		"at": ["environment", "environment_id"],
		"msg": sprintf("`%s` of %s data needs nobody's approval in `%s`", [action, tier_id, input.environment.environment_id]),
		"because": [["settings", "tiers", tier_id, "rank"]],
		"help": sprintf("add an ApprovalPolicy with `action: %s` for this environment and tier, with one approval or more", [action]),
	}
}

deny contains finding if {
	some id, policy in input.settings.approvals
	some role in policy.roles
	not policy.action in object.get(input, ["settings", "roles", role, "may"], [])
	finding := {
		"at": ["settings", "approvals", id, "roles"],
		"msg": sprintf("role `%s` approves `%s` in `%s`, but may not do it itself", [role, policy.action, id]),
		"because": [["settings", "roles", role, "may"]],
		"help": "give the role the action, or take it out of the approval policy",
	}
}

deny contains finding if {
	some id, policy in input.settings.approvals
	not policy.approvals == 0
	count(object.get(policy, "roles", [])) == 0
	finding := {
		"at": ["settings", "approvals", id, "roles"],
		"msg": sprintf("`%s` asks for approvals, and no role can give them", [id]),
		"help": "name at least one role",
	}
}

deny contains finding if {
	some id, role in input.settings.roles
	every action in {"suspend", "purge"} {
		action in role.may
	}
	finding := {
		"at": ["settings", "roles", id, "may"],
		"msg": sprintf("role `%s` may both suspend plans and purge recovery points", [id]),
		"help": "split the role: who stops backups must not be who deletes them",
	}
}

# An environment in which two policies speak of the same action is as strict as the strictest of them.
approved(action, tier_id) if {
	some policy in input.settings.approvals
	policy.action == action
	input.environment.environment_id in policy.environments
	tier_id in policy.tiers
	is_number(policy.approvals)
	policy.approvals > 0
	count(policy.roles) > 0
}
