# METADATA
# title: a demanded lock is there, and retention agrees with it
# description: >-
#   A plan whose redundancy profile demands immutable copies locks its points for some time, and retention does not name a
#   point for deletion while it is locked: `immutable_for` is more than zero and at most `min_duration`.
# custom:
#   code: SW0317
#   severity: error
#   looks_at: locked_datasets
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.5.33
#     - SOC 2 CC6.1
#     - CIS v8 11.3
#     - AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK
#     - 3-2-1-1-0 1-locked
package seawall.rules.copies.immutability_effective

import rego.v1

import data.seawall.lib.duration

deny contains finding if {
	some id, plan in input.plans
	not plan.redundancy_profile.immutable_copies == 0
	not locked(plan.retention)
	finding := {
		"at": ["plans", id, "retention"],
		"msg": sprintf("plan `%s` demands %v immutable copies, but its retention locks nothing", [
			id, object.get(plan, ["redundancy_profile", "immutable_copies"], "an unknown number of"),
		]),
		"because": [
			{"at": ["settings", "redundancy", plan.redundancy_profile.redundancy_id, "immutable_copies"], "label": "demanded here"},
			{"at": ["plans", id, "retention", "immutable_for_s"], "label": "so long are points locked"},
		],
		"help": "set `immutable_for` of the retention class",
	}
}

deny contains finding if {
	some id, plan in input.plans
	lock := plan.retention.immutable_for_s
	not lock <= plan.retention.min_duration_s
	finding := {
		"at": ["plans", id, "retention"],
		"msg": sprintf("plan `%s` locks points for %s, but retention may forget them after %s", [
			id, duration.human(lock), duration.human(plan.retention.min_duration_s),
		]),
		"because": [["settings", "retention", plan.retention.retention_id, "immutable_for_s"]],
		"help": "raise `min_duration` to `immutable_for`, or lock for a shorter time",
	}
}

locked(retention) if {
	is_number(retention.immutable_for_s)
	retention.immutable_for_s > 0
}
