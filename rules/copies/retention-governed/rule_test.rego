package seawall.rules.copies.retention_governed_test

import rego.v1

import data.seawall.rules.copies.retention_governed as rule

tree(laws) := {
	"datasets": {"d": {"data_classification": "internal", "eligibility": "backed_up"}},
	"settings": {"data_retention": laws},
}

internal := {"l": {"data_classification": "internal"}}

test_governed if count(rule.deny) == 0 with input as tree(internal)

test_governed_with_all_other_data if count(rule.deny) == 0 with input as tree({"l": {}})

test_of_another_class if count(rule.deny) == 1 with input as tree({"l": {"data_classification": "secret"}})

test_of_another_layer if count(rule.deny) == 1 with input as tree({"l": {"data_classification": "internal", "layer": "gold"}})

test_an_absent_class_fires if {
	count(rule.deny) == 1 with input as tree(internal) with input.datasets.d as {"eligibility": "backed_up"}
}

test_what_is_not_backed_up_has_no_points if {
	count(rule.deny) == 0 with input as tree({"l": {"data_classification": "secret"}}) with input.datasets.d.eligibility as "excluded"
}

test_without_governance_nothing_is_asked if count(rule.deny) == 0 with input as tree({})
