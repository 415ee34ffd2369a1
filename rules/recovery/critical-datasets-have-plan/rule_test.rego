package seawall.rules.recovery.critical_datasets_have_plan_test

import rego.v1

import data.seawall.rules.recovery.critical_datasets_have_plan as rule

tree(rank, planned) := {
	"datasets": {"d": {"criticality": "t", "eligibility": "backed_up", "plane": "edge"}},
	"settings": {"tiers": {"t": {"rank": rank}}},
	"plans": {"p": {"dataset_ids": planned}},
}

test_planned if count(rule.deny) == 0 with input as tree(0, ["d"])

test_unplanned if count(rule.deny) == 1 with input as tree(1, ["other"])

test_unplanned_of_tier_2_is_another_rules_business if count(rule.deny) == 0 with input as tree(2, [])

test_an_unknown_rank_counts_as_critical if count(rule.deny) == 1 with input as tree(null, [])

test_no_plans_at_all if count(rule.deny) == 1 with input as object.remove(tree(0, []), {"plans"})
