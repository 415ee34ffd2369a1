# METADATA
# title: the conditions of a schedule hold
# description: >-
#   The windows of a schedule stand in order and fit between its slots, and no condition that the proofs rest on fails:
#   a run that may still be going when the next slot comes makes every proof about gaps void.
# custom:
#   code: SW0307
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.8.13
#     - CIS v8 11.2
#     - DORA 12(1)(a)
#     - AWS Backup Audit Manager BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK
package seawall.rules.recovery.schedule_conditions_hold

import rego.v1

# What was found in the calendar, in its own words and with its own witness.
deny contains finding if {
	some id, _ in input.plans
	some condition in calendar(id).conditions
	not of_retention(condition)
	finding := {
		"at": condition.at,
		"msg": sprintf("plan `%s`: %s", [id, condition.message]),
		"because": [{"at": ["plans", id, "backup_frequency"], "label": "the plan runs by it"}],
		"help": advice(condition),
	}
}

# Without such words the windows must be seen to fit: what nobody measured is never a pass.
deny contains finding if {
	some id, plan in input.plans
	not "continuous" in object.keys(plan.backup_frequency)
	count(object.get(calendar(id), "conditions", [])) == 0
	not fits(calendar(id), plan.backup_frequency)
	finding := {
		"at": ["plans", id, "backup_frequency"],
		"msg": sprintf("nothing shows that the windows of plan `%s` fit between its slots", [id]),
		"help": "give it a schedule that can be read, with jitter ≤ start window ≤ completion window ≤ smallest gap",
	}
}

fits(fact, schedule) if {
	is_number(fact.smallest_gap_s)
	is_number(schedule.jitter_s)
	schedule.jitter_s <= schedule.start_window_s
	schedule.start_window_s <= schedule.completion_window_s
	schedule.completion_window_s <= fact.smallest_gap_s
}

advice(condition) := "move the window between slots, or leave the plane of the plan out of it" if {
	condition.code == "slot_frozen"
} else := "jitter ≤ start window ≤ completion window ≤ smallest gap between slots"

# The rule retention-keeps-enough tells these.
of_retention(condition) if condition.code in {"retention_too_shallow", "max_duration_within_loss"}

calendar(id) := object.get(input, ["facts", "plans", id], {})
