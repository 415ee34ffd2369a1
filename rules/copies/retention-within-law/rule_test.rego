package seawall.rules.copies.retention_within_law_test

import rego.v1

import data.seawall.rules.copies.retention_within_law as rule

class := {
	"min_duration_s": 604800, "immutable_for_s": 0, "max_duration_s": 7776000,
	"keep": {"hourly": 0, "daily": 30, "weekly": 8, "monthly": 0, "yearly": 0},
}

law := {"data_classification": "confidential", "min_duration_s": 4838400, "max_duration_s": 7776000, "legal_hold": false}

tree(rule_of, retention) := {
	"datasets": {"d": {"data_classification": "confidential", "layer": "gold"}},
	"plans": {"p": {"plan_id": "p", "dataset_ids": ["d"], "retention": retention}},
	"settings": {"data_retention": {"law": rule_of}},
}

with_law(field, value) := tree(object.union(law, {field: value}), class)

test_within if count(rule.deny) == 0 with input as tree(law, class)

test_too_long if count(rule.deny) == 1 with input as with_law("max_duration_s", 7775999)

test_without_limit if count(rule.deny) == 1 with input as tree(law, object.remove(class, ["max_duration_s"]))

test_too_short if count(rule.deny) == 1 with input as with_law("min_duration_s", 4838401)

test_age_ends_it_before_the_counts_do if {
	count(rule.deny) == 1 with input as tree(law, object.union(class, {"max_duration_s": 4838399}))
}

test_held if count(rule.deny) == 1 with input as with_law("legal_hold", true)

test_held_and_kept if {
	held := object.union(object.remove(law, ["max_duration_s"]), {"legal_hold": true})
	count(rule.deny) == 0 with input as tree(held, object.remove(class, ["max_duration_s"]))
}

test_another_classification if count(rule.deny) == 0 with input as tree(
	object.union(law, {"data_classification": "public", "min_duration_s": 99999999}),
	class,
)

test_a_layer if {
	count(rule.deny) == 1 with input as tree({"layer": "gold", "min_duration_s": 99999999, "legal_hold": false}, class)
	count(rule.deny) == 0 with input as tree({"layer": "bronze", "min_duration_s": 99999999, "legal_hold": false}, class)
}

test_nothing_is_said if {
	count(rule.deny) == 0 with input as object.union(tree(law, class), {"settings": {"data_retention": {}}})
}
