# METADATA
# title: data of tier 0 and 1 is verified, test-restored and drilled
# description: >-
#   Tiers of rank 0 and 1 name a cadence of restore tests and of drills, and every plan of their datasets demands checksums
#   and periodic restore tests. A backup that nobody ever restored is a hope.
# custom:
#   code: SW0318
#   severity: error
#   looks_at: critical_datasets
#   controls:
#     - NIST SP 800-53r5 CP-9(1)
#     - NIST SP 800-53r5 CP-9(2)
#     - NIST SP 800-53r5 CP-4
#     - NIST SP 800-34r1 3.5.1
#     - NIST SP 800-34r1 3.5.3
#     - NIST CSF 2.0 PR.DS-11
#     - NIST CSF 2.0 RC.RP-03
#     - ISO/IEC 27001:2022 A.8.13
#     - ISO 22301:2019 8.5
#     - SOC 2 A1.3
#     - CIS v8 11.5
#     - DORA 12(2)
#     - 3-2-1-1-0 0
package seawall.rules.recovery.critical_data_tested

import rego.v1

import data.seawall.lib.tier

deny contains finding if {
	some id, entry in input.settings.tiers
	tier.critical({"criticality": id})
	some field, what in {"restore_test_every_s": "restore test", "drill_every_s": "drill"}
	not positive(entry, field)
	finding := {
		"at": ["settings", "tiers", id, field],
		"msg": sprintf("tier `%s` never asks for a %s", [id, what]),
		"because": [["settings", "tiers", id, "rank"]],
		"help": sprintf("write a cadence in `%s`", [trim_suffix(field, "_s")]),
	}
}

deny contains finding if {
	some id, plan in input.plans
	some dataset_id in plan.dataset_ids
	dataset := object.get(input, ["datasets", dataset_id], {})
	tier.critical(dataset)
	some field in {"checksum_required", "periodic_restore_test_required"}
	object.get(plan, ["verification", field], false) != true
	finding := {
		"at": ["plans", id, "verification", field],
		"msg": sprintf("plan `%s` leaves `%s` out, its dataset `%s` is critical", [id, field, dataset_id]),
		"because": [["datasets", dataset_id, "criticality"]],
		"help": sprintf("write `%s: true`", [field]),
	}
}

positive(entry, field) if {
	is_number(entry[field])
	entry[field] > 0
}
