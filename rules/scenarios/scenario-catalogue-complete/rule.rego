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

import data.seawall.lib.tier

always := {
	"core_service_loss": "the loss of a core service",
	"region_loss": "the loss of a region or of the primary deployment",
	"corruption": "the corruption of a critical dataset",
}

deny contains finding if {
	count(critical) > 0
	some trigger, what in demanded
	not trigger in {scenario.trigger | some scenario in input.scenarios}
	finding := {
		"at": ["snapshot", "snapshot_id"],
		"msg": sprintf("no scenario is written for %s", [what]),
		"notes": ["data of tier 0 or 1 needs it"],
		"help": sprintf("add a Scenario with `trigger: %s`", [trigger]),
	}
}

deny contains finding if {
	some id in critical
	not id in {dataset | some scenario in input.scenarios; some dataset in scenario.datasets}
	finding := {
		"at": ["datasets", id, "dataset_id"],
		"msg": sprintf("`%s` is %s and stands in no scenario", [id, input.datasets[id].criticality]),
		"because": [["datasets", id, "criticality"]],
		"help": "name it in the `datasets` of a scenario, with a step that brings it back",
	}
}

critical contains id if {
	some id, dataset in input.datasets
	tier.critical(dataset)
	tier.backed_up(dataset)
}

demanded[trigger] := what if some trigger, what in always

demanded["tenant_deployment_loss"] := "the loss of a tenant's deployment" if {
	some dataset in input.datasets
	dataset.plane == "tenant_cloud"
}
