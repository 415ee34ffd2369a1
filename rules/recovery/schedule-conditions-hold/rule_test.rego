package seawall.rules.recovery.schedule_conditions_hold_test

import rego.v1

import data.seawall.rules.recovery.schedule_conditions_hold as rule

schedule := {"schedule_id": "s", "every_s": 3600, "jitter_s": 0, "start_window_s": 600, "completion_window_s": 3600}

tree(frequency, facts) := {"plans": {"p": {"backup_frequency": frequency}}, "facts": {"plans": facts}}

fits := {"p": {"smallest_gap_s": 3600, "conditions": []}}

broken(code) := {"p": {"smallest_gap_s": 3600, "conditions": [{
	"code": code, "message": "it fails", "at": ["plans", "p", "backup_frequency", "completion_window_s"],
}]}}

test_fits if count(rule.deny) == 0 with input as tree(schedule, fits)

test_a_window_longer_than_the_gap if {
	count(rule.deny) == 1 with input as tree(object.union(schedule, {"completion_window_s": 3601}), fits)
}

test_windows_out_of_order if {
	count(rule.deny) == 1 with input as tree(object.union(schedule, {"jitter_s": 601}), fits)
}

test_absent_facts_fire if count(rule.deny) == 1 with input as tree(schedule, {})

test_null_gap_fires if count(rule.deny) == 1 with input as tree(schedule, {"p": {"smallest_gap_s": null}})

test_a_condition_is_told_once_and_in_its_own_words if {
	found := rule.deny with input as tree(object.union(schedule, {"completion_window_s": 3601}), broken("window_above_gap"))
	{finding.msg | some finding in found} == {"plan `p`: it fails"}
}

test_a_condition_that_is_new_is_told_too if {
	count(rule.deny) == 1 with input as tree(schedule, broken("something_else"))
}

test_a_frozen_slot_has_its_own_advice if {
	some finding in rule.deny with input as tree(schedule, broken("slot_frozen"))
	startswith(finding.help, "move the window")
}

test_retention_is_another_rules_business if {
	count(rule.deny) == 0 with input as tree(schedule, broken("retention_too_shallow"))
	count(rule.deny) == 0 with input as tree(schedule, broken("max_duration_within_loss"))
}

test_an_archive_has_no_slots if {
	count(rule.deny) == 0 with input as tree({"schedule_id": "s", "continuous": {"max_lag_s": 60}}, {})
}
