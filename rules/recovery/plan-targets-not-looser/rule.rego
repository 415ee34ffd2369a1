# METADATA
# title: a plan never promises less than its strictest dataset demands
# description: >-
#   `target_rpo` and `target_rto` of a plan are optional; where given, they are at most those of each of its datasets.
# custom:
#   code: SW0309
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 CP-6(2)
#     - NIST SP 800-34r1 3.2.1
#     - ISO 22301:2019 8.2.2
#     - ISO/IEC 27001:2022 A.5.30
#     - DORA 12(6)
package seawall.rules.recovery.plan_targets_not_looser

import rego.v1

import data.seawall.lib.duration

deny contains finding if {
	some id, plan in input.plans
	some target, objective in {"target_rpo_s": "rpo_s", "target_rto_s": "rto_s"}
	promised := plan[target]
	some dataset_id in plan.dataset_ids
	not no_looser(promised, input.datasets[dataset_id][objective])
	finding := {
		"at": ["plans", id, target],
		"label": "promised here",
		"msg": sprintf("plan `%s` promises %s of %s, its dataset `%s` demands %s", [
			id, name(objective), told(promised), dataset_id, told(object.get(input, ["datasets", dataset_id, objective], null)),
		]),
		"because": [["datasets", dataset_id, objective]],
		"help": "refer to the objective of the strictest dataset, or leave the target out",
		"measure": {"seconds": measured(promised)},
	}
}

no_looser(promised, demanded) if {
	is_number(promised)
	is_number(demanded)
	promised <= demanded
}

measured(promised) := promised if {
	is_number(promised)
} else := 9007199254740991

name(objective) := upper(trim_suffix(objective, "_s"))

told(seconds) := duration.human(seconds) if {
	is_number(seconds)
} else := "nothing that can be read"
