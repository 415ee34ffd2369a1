package seawall.rules.copies.location_stands_at_site_test

import rego.v1

import data.seawall.rules.copies.location_stands_at_site as rule

tree(region, residency) := {"settings": {
	"sites": {"s": {"fault_domains": {"provider": "p", "region": "west"}, "residency": "eu"}},
	"locations": {"l": {"site": "s", "fault_domains": {"provider": "p", "region": region}, "residency": residency}},
}}

test_there if count(rule.deny) == 0 with input as tree("west", "eu")

test_another_region if count(rule.deny) == 1 with input as tree("east", "eu")

test_another_residency if count(rule.deny) == 1 with input as tree("west", "us")

test_an_unknown_site_fires if {
	count(rule.deny) == 3 with input as tree("west", "eu") with input.settings.sites as {}
}
