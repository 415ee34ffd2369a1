package seawall.rules.copies.location_holds_forecast_test

import rego.v1

import data.seawall.rules.copies.location_holds_forecast as rule

tree(needed) := {
	"settings": {"locations": {"l": {"capacity_bytes": 1099511627776}}},
	"facts": {"locations": {"l": {
		"needed_bytes": needed,
		"bounded": true,
		"largest": [
			{"dataset": "d", "plan": "p", "bytes": 1099511627776},
			{"dataset": "e", "plan": "p", "bytes": 1073741824},
		],
		"unbounded": [],
	}}},
}

told(found) := {finding.msg | some finding in found}

test_all_of_it_fits if count(rule.deny) == 0 with input as tree(1099511627776)

test_a_byte_more if {
	found := rule.deny with input as tree(1099511627777)
	told(found) == {"location `l` holds 1 TiB, its plans need 1.1 TiB"}
	some finding in found
	finding.at == ["settings", "locations", "l", "capacity_bytes"]
	finding.notes == ["most by `d` of `p` with 1 TiB, `e` of `p` with 1 GiB"]
	finding.measure.count == 1025
}

test_no_bound if {
	found := rule.deny with input as tree(9007199254740991)
		with input.facts.locations.l.bounded as false
		with input.facts.locations.l.unbounded as ["p", "q"]
		with input.facts.locations.l.largest as []
	told(found) == {"location `l` holds 1 TiB, what its plans need has no bound"}
	some finding in found
	finding.notes == ["no number is known of 2 of its plans, such as `p`"]
	finding.measure.count == 9007199254740991
}

test_absent_facts_fire if {
	found := rule.deny with input as object.remove(tree(1), {"facts"})
	told(found) == {"location `l` holds 1 TiB, what its plans need has no bound"}
}

test_null_is_no_room if {
	found := rule.deny with input as tree(1) with input.settings.locations.l.capacity_bytes as null
	told(found) == {"location `l` holds nothing that can be read, its plans need 1 B"}
	count(rule.deny) == 1 with input as tree(null)
}
