# METADATA
# title: the catalogue has the minimum scenarios, and no critical dataset is left out
# description: >-
#   Where there is data of tier 0 or 1 there is a scenario for the loss of a core service, for the loss of a region, for
#   corruption, and, where a tenant hosts a deployment, for its loss; and each such dataset stands in at least one of them.
# custom:
#   code: SW0311
#   severity: error
#   looks_at: critical_datasets
#   controls:
#     - NIST SP 800-53r5 CP-2
#     - NIST SP 800-53r5 CP-2(8)
#     - NIST SP 800-34r1 3.2.1
#     - NIST CSF 2.0 RC.RP-02
#     - ISO 22301:2019 8.3
#     - ISO/IEC 27001:2022 A.5.29
#     - SOC 2 CC7.5
#     - DORA 12(6)
package seawall.rules.scenarios.scenario_catalogue_complete

import rego.v1

deny contains finding if {
	some failure in input.facts.catalogue.failures
	failure.demanded == true
	count(failure.scenarios) == 0
	finding := {
		"at": ["snapshot", "snapshot_id"],
		"msg": sprintf("no scenario is written for %s", [failure.what]),
		"notes": ["data of tier 0 or 1 needs it"],
		"help": sprintf("add a Scenario with `trigger: %s`", [failure.trigger]),
	}
}

deny contains finding if {
	some id, fact in input.facts.catalogue.datasets
	count(fact.scenarios) == 0
	finding := {
		"at": ["datasets", id, "dataset_id"],
		"msg": sprintf("`%s` is %s and stands in no scenario", [id, fact.tier]),
		"because": [["datasets", id, "criticality"]],
		"help": "name it in the `datasets` of a scenario, with a step that brings it back",
	}
}

# Without facts nothing is known of the catalogue, which is never a pass.
deny contains finding if {
	not input.facts.catalogue
	finding := {
		"at": ["snapshot", "snapshot_id"],
		"msg": "nothing is proven of the catalogue of scenarios",
		"help": "this is a fault of Seawall; report it",
	}
}
