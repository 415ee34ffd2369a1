# METADATA
# title: retention keeps the points that the proofs count on
# description: >-
#   With m tolerated misses, the newest m + 1 points of a plan are kept whatever happens, and no point is removed for its age
#   before it could be needed: `max_duration` is longer than the misses, the completion window and the copy lag together.
# custom:
#   code: SW0308
#   severity: error
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST SP 800-53r5 SI-12
#     - ISO/IEC 27001:2022 A.8.13
#     - CIS v8 3.4
package seawall.rules.copies.retention_keeps_enough

import rego.v1

import data.seawall.lib.duration

deny contains finding if {
	some id, plan in input.plans
	not keeps(plan.retention, plan.backup_frequency)
	finding := {
		"at": ["plans", id, "retention"],
		"label": sprintf("keeps %v points at least", [kept(plan.retention)]),
		"msg": sprintf("retention of plan `%s` keeps %v points at least, %v tolerated misses need one more than that", [
			id, kept(plan.retention), object.get(plan, ["backup_frequency", "tolerated_misses"], "unknown"),
		]),
		"because": [["settings", "schedules", plan.backup_frequency.schedule_id, "tolerated_misses"]],
		"help": "raise `min_versions` of the retention class",
	}
}

deny contains finding if {
	some id, plan in input.plans
	limit := plan.retention.max_duration_s
	not old_enough(id, plan, limit)
	finding := {
		"at": ["plans", id, "retention"],
		"msg": sprintf("retention of plan `%s` forgets every point after %s, before the worst-case loss is over", [id, told(limit)]),
		"because": [["settings", "retention", plan.retention.retention_id, "max_duration_s"]],
		"help": "raise `max_duration` of the retention class, or write `none`",
	}
}

keeps(retention, schedule) if {
	is_number(kept(retention))
	is_number(schedule.tolerated_misses)
	kept(retention) >= schedule.tolerated_misses + 1
}

# A slot without a point keeps the older ones: what counts is the number of points, not their age.
kept(retention) := max({retention.min_versions, retention.keep.last}) if {
	is_number(retention.min_versions)
	is_number(retention.keep.last)
} else := "an unknown number of"

old_enough(id, plan, limit) if {
	is_number(limit)
	gap := input.facts.plans[id].largest_gap_s
	is_number(gap)
	limit > (gap * (plan.backup_frequency.tolerated_misses + 1)) + plan.backup_frequency.completion_window_s + plan.redundancy_profile.copy_within_s
}

# An archive without slots is bounded by its lag.
old_enough(_, plan, limit) if {
	is_number(limit)
	lag := plan.backup_frequency.continuous.max_lag_s
	is_number(lag)
	limit > lag + plan.redundancy_profile.copy_within_s
}

told(seconds) := duration.human(seconds) if {
	is_number(seconds)
} else := "an unknown time"
