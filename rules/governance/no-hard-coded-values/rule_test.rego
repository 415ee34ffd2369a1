package seawall.rules.governance.no_hard_coded_values_test

import rego.v1

import data.seawall.rules.governance.no_hard_coded_values as rule

tree := {
	"plans": {"p": {}},
	"datasets": {"d": {}},
	"scenarios": {"s": {}},
	"settings": {"tiers": {"t": {"survives": [{}]}}},
	"written": {
		"plans": {"p": {"backup_frequency": "gsmd:schedules/x", "retention": "gsmd:retention/x"}},
		"datasets": {"d": {"rpo": "gsmd:objectives/x/rpo", "rto": "gsmd:objectives/x/rto"}},
		"scenarios": {"s": {"objective": "gsmd:objectives/x"}},
		"settings": {"tiers": {"t": {"survives": [{"objective": "gsmd:objectives/x"}]}}},
	},
}

test_references if count(rule.deny) == 0 with input as tree

test_a_duration_in_place if {
	found := rule.deny with input as tree with input.written.datasets.d.rpo as "PT15M"
	some finding in found
	finding.at == ["datasets", "d", "rpo"]
	finding.msg == "`rpo` of `d` is `PT15M`, no reference"
}

test_an_object_in_place if count(rule.deny) == 1 with input as tree with input.written.plans.p.retention as {"min_versions": 3}

test_an_optional_target if {
	count(rule.deny) == 0 with input as tree with input.written.plans.p.target_rpo as "gsmd:objectives/x/rpo"
	count(rule.deny) == 1 with input as tree with input.written.plans.p.target_rpo as "PT15M"
}

test_a_literal_in_a_tier if count(rule.deny) == 1 with input as tree with input.written.settings.tiers.t.survives as [{"objective": {"rpo": "PT1H"}}]

test_what_nobody_tells_is_no_reference if {
	count(rule.deny) == 6 with input as object.remove(tree, {"written"})
}
