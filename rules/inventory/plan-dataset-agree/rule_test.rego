package seawall.rules.inventory.plan_dataset_agree_test

import rego.v1

import data.seawall.rules.inventory.plan_dataset_agree as rule

tree := {
	"environment": {"environment_id": "e", "planes": ["edge"]},
	"plans": {"p": {"plane": "edge", "dataset_ids": ["d", "f"]}},
	"datasets": {
		"d": {"plane": "edge", "eligibility": "backed_up", "connector": "c", "site": "s"},
		"f": {"plane": "edge", "eligibility": "backed_up", "connector": "c", "site": "s"},
	},
	"settings": {"connectors": {"c": {"capabilities": ["backup"]}}, "sites": {"s": {"reconciler_id": "r"}, "u": {"reconciler_id": "q"}}},
}

test_agree if count(rule.deny) == 0 with input as tree

test_another_plane if count(rule.deny) == 1 with input as tree with input.datasets.d.plane as "tenant_cloud"

test_a_plane_that_the_environment_does_not_run if count(rule.deny) == 1 with input as tree with input.environment.planes as ["product_cloud"]

test_an_excluded_dataset if count(rule.deny) == 1 with input as tree with input.datasets.d.eligibility as "excluded"

test_a_connector_without_backup if count(rule.deny) == 2 with input as tree with input.settings.connectors.c.capabilities as ["observe"]

test_two_reconcilers if {
	found := rule.deny with input as tree with input.datasets.d.site as "u"
	{finding.msg | some finding in found} == {"the datasets of plan `p` belong to 2 reconcilers: `q`, `r`"}
}

test_an_unknown_dataset_fires if count(rule.deny) > 0 with input as tree with input.plans.p.dataset_ids as ["gone"]
