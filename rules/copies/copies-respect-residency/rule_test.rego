package seawall.rules.copies.copies_respect_residency_test

import rego.v1

import data.seawall.rules.copies.copies_respect_residency as rule

tree(allowed, place) := {
	"datasets": {"d": {"site": "s", "residency": allowed}},
	"plans": {"p": {"dataset_ids": ["d"], "locations": ["l"]}},
	"settings": {"sites": {"s": {"residency": "eu"}}, "locations": {"l": {"residency": place}}},
}

test_at_home if count(rule.deny) == 0 with input as tree(["eu"], "eu")

test_a_copy_abroad if count(rule.deny) == 1 with input as tree(["eu"], "us")

test_a_site_abroad if count(rule.deny) == 1 with input as tree(["us"], "us")

test_no_residency_allows_nothing if count(rule.deny) == 2 with input as tree([], "eu")

test_an_unknown_location_fires if {
	count(rule.deny) == 1 with input as tree(["eu"], "eu") with input.settings.locations as {}
}
