package seawall.rules.scenarios.scenario_catalogue_complete_test

import rego.v1

import data.seawall.rules.scenarios.scenario_catalogue_complete as rule

scenario(trigger) := {"trigger": trigger, "datasets": ["d"]}

tree(rank, plane, triggers) := {
	"snapshot": {"snapshot_id": "s"},
	"settings": {"tiers": {"t": {"rank": rank}}},
	"datasets": {"d": {"criticality": "t", "eligibility": "backed_up", "plane": plane}},
	"scenarios": {trigger: scenario(trigger) | some trigger in triggers},
}

three := {"core_service_loss", "region_loss", "corruption"}

test_complete if count(rule.deny) == 0 with input as tree(0, "product_cloud", three)

test_one_missing if {
	found := rule.deny with input as tree(1, "product_cloud", three - {"corruption"})
	{finding.msg | some finding in found} == {"no scenario is written for the corruption of a critical dataset"}
}

test_tenants_need_one_more if count(rule.deny) == 1 with input as tree(0, "tenant_cloud", three)

test_a_dataset_in_no_scenario if {
	count(rule.deny) == 1 with input as tree(0, "product_cloud", three) with input.datasets.e as {"criticality": "t", "eligibility": "backed_up"}
}

test_no_scenarios_at_all if {
	count(rule.deny) == 4 with input as object.remove(tree(0, "product_cloud", {}), {"scenarios"})
}

test_tier_2_needs_none if count(rule.deny) == 0 with input as tree(2, "product_cloud", {})
