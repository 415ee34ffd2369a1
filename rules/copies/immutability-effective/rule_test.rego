package seawall.rules.copies.immutability_effective_test

import rego.v1

import data.seawall.rules.copies.immutability_effective as rule

tree(copies, retention) := {"plans": {"p": {
	"redundancy_profile": {"redundancy_id": "x", "immutable_copies": copies},
	"retention": object.union({"retention_id": "r", "min_duration_s": 86400}, retention),
}}}

test_locked if count(rule.deny) == 0 with input as tree(1, {"immutable_for_s": 86400})

test_nothing_demanded if count(rule.deny) == 0 with input as tree(0, {"immutable_for_s": 0})

test_demanded_and_not_locked if count(rule.deny) == 1 with input as tree(1, {"immutable_for_s": 0})

test_longer_than_retention if count(rule.deny) == 1 with input as tree(1, {"immutable_for_s": 86401})

test_absent_lock_fires if count(rule.deny) == 1 with input as tree(1, {})

test_null_lock_fires if count(rule.deny) == 1 with input as tree(1, {"immutable_for_s": null})
