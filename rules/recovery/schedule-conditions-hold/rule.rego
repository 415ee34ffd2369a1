# METADATA
# title: the conditions of a schedule hold
# description: >-
#   The windows of a schedule stand in order and fit between its slots, and no condition that the proofs rest on fails:
#   a run that may still be going when the next slot comes makes every proof about gaps void.
# custom:
#   code: SW0307
#   severity: error
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - ISO/IEC 27001:2022 A.8.13
#     - CIS v8 11.2
package seawall.rules.recovery.schedule_conditions_hold

import rego.v1

import data.seawall.lib.duration

deny contains finding if {
	some id, plan in input.plans
	not "continuous" in object.keys(plan.backup_frequency)
	not fits(id, plan.backup_frequency)
	finding := {
		"at": ["plans", id, "backup_frequency"],
		"msg": sprintf("the windows of schedule `%s` do not fit between its slots: a run may last %s, slots are %s apart", [
			plan.backup_frequency.schedule_id, told(plan.backup_frequency, "completion_window_s"), told(gaps(id), "smallest_gap_s"),
		]),
		"because": [["settings", "schedules", plan.backup_frequency.schedule_id, "completion_window_s"]],
		"help": "jitter ≤ start window ≤ completion window ≤ smallest gap between slots",
	}
}

# What the compiler found in the calendar besides, each with its own words.
deny contains finding if {
	some id, plan in input.plans
	some condition in gaps(id).conditions
	finding := {
		"at": ["plans", id, "backup_frequency"],
		"msg": sprintf("plan `%s`: %s", [id, condition.message]),
		"because": [["settings", "schedules", plan.backup_frequency.schedule_id]],
	}
}

fits(id, schedule) if {
	is_number(gaps(id).smallest_gap_s)
	is_number(schedule.jitter_s)
	schedule.jitter_s <= schedule.start_window_s
	schedule.start_window_s <= schedule.completion_window_s
	schedule.completion_window_s <= gaps(id).smallest_gap_s
}

gaps(id) := object.get(input, ["facts", "plans", id], {})

told(holder, field) := duration.human(holder[field]) if {
	is_number(holder[field])
} else := "an unknown time"
