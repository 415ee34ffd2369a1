package seawall.rules.copies.retention_keeps_enough_test

import rego.v1

import data.seawall.rules.copies.retention_keeps_enough as rule

tree(conditions) := {"plans": {"p": {}}, "facts": {"plans": {"p": {"conditions": conditions}}}}

broken(code) := {"code": code, "message": "it fails", "at": ["plans", "p", "retention"]}

test_enough if count(rule.deny) == 0 with input as tree([])

test_too_shallow if {
	found := rule.deny with input as tree([broken("retention_too_shallow")])
	{finding.help | some finding in found} == {"raise `min_versions` of the retention class"}
}

test_forgotten_too_early if {
	found := rule.deny with input as tree([broken("max_duration_within_loss")])
	{finding.help | some finding in found} == {"raise `max_duration` of the retention class, or write `none`"}
}

test_windows_are_another_rules_business if count(rule.deny) == 0 with input as tree([broken("window_above_gap")])

test_null_conditions_fire if count(rule.deny) == 1 with input as tree(null)

test_absent_facts_fire if count(rule.deny) == 1 with input as {"plans": {"p": {}}}
