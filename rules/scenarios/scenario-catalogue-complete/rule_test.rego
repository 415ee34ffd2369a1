package seawall.rules.scenarios.scenario_catalogue_complete_test

import rego.v1

import data.seawall.rules.scenarios.scenario_catalogue_complete as rule

tree(demanded, answered, stands_in) := {
	"snapshot": {"snapshot_id": "s"},
	"facts": {"catalogue": {
		"failures": [failure |
			some trigger in {"core_service_loss", "region_loss", "tenant_deployment_loss", "corruption"}
			failure := {
				"trigger": trigger,
				"what": sprintf("the %s", [trigger]),
				"demanded": trigger in demanded,
				"scenarios": [trigger | trigger in answered],
			}
		],
		"datasets": {"d": {"tier": "t", "scenarios": stands_in, "restored_by": []}},
	}},
}

three := {"core_service_loss", "region_loss", "corruption"}

test_complete if count(rule.deny) == 0 with input as tree(three, three, ["corruption"])

test_one_missing if {
	found := rule.deny with input as tree(three, three - {"corruption"}, ["region_loss"])
	{finding.msg | some finding in found} == {"no scenario is written for the corruption"}
}

test_what_is_not_demanded_may_be_missing if count(rule.deny) == 0 with input as tree(set(), set(), ["x"])

test_a_dataset_in_no_scenario if count(rule.deny) == 1 with input as tree(three, three, [])

test_nothing_answered if count(rule.deny) == 5 with input as tree(three | {"tenant_deployment_loss"}, set(), [])

test_nothing_proven_is_no_proof if count(rule.deny) == 1 with input as {"snapshot": {"snapshot_id": "s"}}
