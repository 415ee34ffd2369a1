package seawall.rules.inventory.excluded_justified_test

import rego.v1

import data.seawall.rules.inventory.excluded_justified as rule

tree(datasets) := {"settings": {"tiers": {"t0": {"rank": 0}, "t3": {"rank": 3}}}, "datasets": datasets}

excluded(tier, reason) := {"d": {"criticality": tier, "eligibility": "excluded", "justification": reason}}

derived(sources) := {
	"d": {"criticality": "t3", "eligibility": "reconstructed", "derived_from": sources},
	"kept": {"criticality": "t3", "eligibility": "backed_up"},
	"via": {"criticality": "t3", "eligibility": "reconstructed", "derived_from": ["kept"]},
	"lost": {"criticality": "t3", "eligibility": "excluded", "justification": "nobody ever misses it"},
}

test_a_reason if count(rule.deny) == 0 with input as tree(excluded("t3", "agents fetch it again"))

test_a_label_is_no_reason if count(rule.deny) == 1 with input as tree(excluded("t3", "just a cache"))

test_no_reason_at_all if {
	count(rule.deny) == 1 with input as tree({"d": {"criticality": "t3", "eligibility": "excluded"}})
}

test_critical_data_is_not_excluded if count(rule.deny) == 1 with input as tree(excluded("t0", "agents fetch it again"))

test_an_unknown_tier_is_critical if count(rule.deny) == 1 with input as tree(excluded("t9", "agents fetch it again"))

test_derived_from_what_is_kept if count(rule.deny) == 0 with input as tree(derived(["kept"]))

test_derived_from_what_is_lost if count(rule.deny) == 1 with input as tree(derived(["kept", "lost"]))

test_derived_from_what_is_derived if count(rule.deny) == 1 with input as tree(derived(["via"]))

test_derived_from_nothing if count(rule.deny) == 1 with input as tree(derived([]))

test_derived_from_the_unknown if count(rule.deny) == 1 with input as tree(derived(["gone"]))
