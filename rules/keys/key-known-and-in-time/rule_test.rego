package seawall.rules.keys.key_known_and_in_time_test

import rego.v1

import data.seawall.rules.keys.key_known_and_in_time as rule

# 2027-01-01T00:00:00Z
new_year := 1798761600

tree(not_after, at) := {
	"at": at,
	"environment": {"bundle_validity_s": 86400},
	"plans": {"p": {"encryption_key_ref": "k"}},
	"settings": {"keys": {"k": {"not_after": not_after}}},
}

test_in_time if count(rule.deny) == 0 with input as tree("2027-01-01T00:00:00Z", new_year - 86400)

test_a_second_too_late if count(rule.deny) == 1 with input as tree("2027-01-01T00:00:00Z", (new_year - 86400) + 1)

test_an_unreadable_end_fires if count(rule.deny) == 1 with input as tree("soon", 0)

test_an_absent_end_fires if {
	count(rule.deny) == 1 with input as tree("x", 0) with input.settings.keys.k as {"rotation_period_s": 1}
}

test_without_a_date_nothing_is_in_time if {
	count(rule.deny) == 1 with input as object.remove(tree("2027-01-01T00:00:00Z", 0), {"at"})
}

test_an_unknown_key if {
	found := rule.deny with input as tree("2027-01-01T00:00:00Z", 0) with input.settings.keys as {}
	{finding.msg | some finding in found} == {"key `k` of plan `p` is not known"}
}
