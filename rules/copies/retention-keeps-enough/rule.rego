# METADATA
# title: retention keeps the points that the proofs count on
# description: >-
#   With m tolerated misses, the newest m + 1 points of a plan are kept at every slot of the horizon, and no point is removed
#   for its age before it could be needed: `max_duration` is longer than the worst-case loss of the live data.
# custom:
#   code: SW0308
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.8.13
#     - AWS Backup Audit Manager BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK
package seawall.rules.copies.retention_keeps_enough

import rego.v1

# The compiler walks the calendar and asks retention at every slot, so that floors and counts are both believed.
deny contains finding if {
	some id, _ in input.plans
	some condition in conditions(id)
	condition.code in {"retention_too_shallow", "max_duration_within_loss"}
	finding := {
		"at": condition.at,
		"msg": sprintf("plan `%s`: %s", [id, condition.message]),
		"because": [because(id, condition)],
		"help": help(condition),
	}
}

# What nobody walked is never a pass.
deny contains finding if {
	some id, _ in input.plans
	not is_array(walked(id))
	finding := {
		"at": ["plans", id, "retention"],
		"msg": sprintf("nothing shows that retention of plan `%s` keeps what a late backup may need", [id]),
		"help": "give the plan a schedule and a retention class that can be judged",
	}
}

because(id, condition) := {"at": ["plans", id, "retention", "min_versions"], "label": "so many are kept for certain"} if {
	condition.code == "retention_too_shallow"
} else := {"at": ["plans", id, "retention"], "label": "the plan keeps by it"}

help(condition) := "raise `max_duration` of the retention class, or write `none`" if {
	condition.code == "max_duration_within_loss"
} else := "raise `min_versions` of the retention class"

conditions(id) := walked(id) if {
	is_array(walked(id))
} else := []

walked(id) := object.get(input, ["facts", "plans", id, "conditions"], null)
