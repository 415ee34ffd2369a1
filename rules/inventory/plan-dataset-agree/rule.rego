# METADATA
# title: a plan and its datasets agree
# description: >-
#   A plan acts in the plane of its datasets, which the environment runs; it names only datasets that are backed up, through
#   connectors that can take recovery points; and all of them belong to one reconciler, which is the one that runs it.
# custom:
#   code: SW0305
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST SP 800-53r5 CM-8
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.5.9
#     - SOC 2 A1.2
package seawall.rules.inventory.plan_dataset_agree

import rego.v1

deny contains finding if {
	some id, plan in input.plans
	some dataset_id in plan.dataset_ids
	plane := object.get(input, ["datasets", dataset_id, "plane"], "unknown")
	plane != plan.plane
	finding := {
		"at": ["plans", id, "plane"],
		"msg": sprintf("plan `%s` acts in plane `%s`, its dataset `%s` is in `%s`", [id, plan.plane, dataset_id, plane]),
		"because": [["datasets", dataset_id, "plane"]],
		"help": "put the dataset into a plan of its own plane",
	}
}

deny contains finding if {
	some id, plan in input.plans
	not plan.plane in object.get(input, ["environment", "planes"], [])
	finding := {
		"at": ["plans", id, "plane"],
		"msg": sprintf("plan `%s` acts in plane `%s`, which environment `%s` does not run", [id, plan.plane, input.environment.environment_id]),
		"because": [["environment", "planes"]],
		"help": "add the plane to the environment",
	}
}

deny contains finding if {
	some id, plan in input.plans
	some dataset_id in plan.dataset_ids
	eligibility := object.get(input, ["datasets", dataset_id, "eligibility"], "unknown")
	eligibility != "backed_up"
	finding := {
		"at": ["plans", id, "dataset_ids"],
		"msg": sprintf("plan `%s` names `%s`, whose eligibility is `%s`", [id, dataset_id, eligibility]),
		"because": [["datasets", dataset_id, "eligibility"]],
		"help": "take the dataset out of the plan, or mark it `backed_up`",
	}
}

deny contains finding if {
	some id, plan in input.plans
	some dataset_id in plan.dataset_ids
	connector := object.get(input, ["datasets", dataset_id, "connector"], "unknown")
	not "backup" in object.get(input, ["settings", "connectors", connector, "capabilities"], [])
	finding := {
		"at": ["datasets", dataset_id, "connector"],
		"msg": sprintf("connector `%s` of `%s` takes no recovery points, plan `%s` needs them", [connector, dataset_id, id]),
		"because": [["settings", "connectors", connector, "capabilities"]],
		"help": "name a connector with the capability `backup`",
	}
}

deny contains finding if {
	some id, plan in input.plans
	owners := {owner |
		some dataset_id in plan.dataset_ids
		site := object.get(input, ["datasets", dataset_id, "site"], "unknown")
		owner := object.get(input, ["settings", "sites", site, "reconciler_id"], "unknown")
	}
	count(owners) != 1
	finding := {
		"at": ["plans", id, "dataset_ids"],
		"msg": sprintf("the datasets of plan `%s` belong to %d reconcilers: %s", [id, count(owners), concat(", ", [sprintf("`%s`", [owner]) | some owner in owners])]),
		"help": "make one plan for each reconciler, or use `for_each` with `site`",
	}
}
