package seawall.rules.copies.retention_keeps_enough_test

import rego.v1

import data.seawall.rules.copies.retention_keeps_enough as rule

tree(retention) := {
	"plans": {"p": {
		"retention": object.union({"retention_id": "r", "min_versions": 1, "keep": {"last": 2}}, retention),
		"backup_frequency": {"schedule_id": "s", "tolerated_misses": 1, "completion_window_s": 600},
		"redundancy_profile": {"copy_within_s": 600},
	}},
	"facts": {"plans": {"p": {"largest_gap_s": 3600}}},
}

test_enough if count(rule.deny) == 0 with input as tree({"max_duration_s": 8401})

test_no_limit if count(rule.deny) == 0 with input as tree({})

test_one_too_few if count(rule.deny) == 1 with input as tree({"keep": {"last": 1}})

test_null_is_no_number if count(rule.deny) == 1 with input as tree({"min_versions": null})

test_forgotten_too_early if count(rule.deny) == 1 with input as tree({"max_duration_s": 8400})

test_absent_facts_fire if count(rule.deny) == 1 with input as object.remove(tree({"max_duration_s": 99999}), {"facts"})
