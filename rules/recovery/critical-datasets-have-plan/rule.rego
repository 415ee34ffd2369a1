# METADATA
# title: every dataset of tier 0 or 1 has a plan
# description: >-
#   A dataset of tier 0 or 1 that is not reconstructed is named by at least one backup plan. An unknown tier counts as
#   critical.
# custom:
#   code: SW0304
#   severity: error
#   looks_at: critical_datasets
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST SP 800-53r5 CP-2(8)
#     - NIST SP 800-34r1 3.4.1
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.8.13
#     - SOC 2 A1.2
#     - CIS v8 11.1
#     - DORA 12(1)(a)
#     - AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_BACKUP_PLAN
package seawall.rules.recovery.critical_datasets_have_plan

import rego.v1

import data.seawall.lib.plans
import data.seawall.lib.tier

deny contains finding if {
	some id, dataset in input.datasets
	tier.critical(dataset)
	tier.backed_up(dataset)
	count(plans.holding(id)) == 0
	finding := {
		"at": ["datasets", id, "dataset_id"],
		"label": "no plan names it",
		"msg": sprintf("`%s` is %s and has no backup plan", [id, dataset.criticality]),
		"because": [{"at": ["datasets", id, "criticality"], "label": "critical here"}],
		"help": sprintf("add `%s` to the `dataset_ids` of a plan in plane `%s`, or a `for_each` that matches it", [id, dataset.plane]),
	}
}
