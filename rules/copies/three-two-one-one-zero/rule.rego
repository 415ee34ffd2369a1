# METADATA
# title: data of tier 0 and 1 is kept by 3-2-1-1-0
# description: >-
#   With the live data there are three copies; the others stand in two accounts or are written by two engines, one stands
#   outside of the region of the live data, and one is locked. Zero errors: only what is verified by checksum counts.
# custom:
#   code: SW0320
#   severity: warning
#   looks_at: critical_datasets
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST SP 800-53r5 CP-6
#     - NIST SP 800-34r1 3.4.2
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.8.13
#     - CIS v8 11.4
#     - AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_CROSS_REGION
#     - AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK
#     - 3-2-1-1-0 3
#     - 3-2-1-1-0 2
#     - 3-2-1-1-0 1-offsite
#     - 3-2-1-1-0 1-locked
package seawall.rules.copies.three_two_one_one_zero

import rego.v1

import data.seawall.lib.plans
import data.seawall.lib.tier

# A dataset without any plan is another rule's business.
deny contains finding if {
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	tier.critical(dataset)
	count(plans.holding(id)) > 0
	lacking := array.concat(array.concat(three(id), two(id)), array.concat(off_site(id, dataset), locked(id)))
	count(lacking) > 0
	finding := {
		"at": ["plans", min(plans.of[id]), "storage_profiles"],
		"about": ["datasets", id],
		"label": "kept here",
		"msg": sprintf("`%s` falls short of 3-2-1-1-0: %s", [id, concat("; ", [part.told | some part in lacking])]),
		"because": [{"at": ["datasets", id, "criticality"], "label": "a tier that should be kept so"}],
		"help": "add a storage profile with a location that has what is missing",
		"controls": array.concat(any_part, [control | some part in lacking; some control in part.controls]),
	}
}

# Clauses that any missing part touches; each part names its own beside them.
any_part := ["NIST SP 800-53r5 CP-9", "NIST CSF 2.0 PR.DS-11", "ISO/IEC 27001:2022 A.8.13"]

three(id) := [] if {
	count(held(id)) >= 2
} else := [{"told": sprintf("%d verified copies with the live data", [count(held(id)) + 1]), "controls": ["3-2-1-1-0 3"]}]

two(id) := [] if {
	count({location.fault_domains.account | some location in held(id)}) >= 2
} else := [] if {
	input.facts.datasets[id].redundancy.engine >= 2
	is_number(input.facts.datasets[id].redundancy.engine)
} else := [{"told": "one account holds all copies and one engine writes them", "controls": ["3-2-1-1-0 2"]}]

off_site(id, dataset) := [] if {
	live := input.settings.sites[dataset.site].fault_domains.region
	some location in held(id)
	location.fault_domains.region != live
} else := [{"told": "no copy outside of the region of the live data", "controls": [
	"NIST SP 800-53r5 CP-6",
	"NIST SP 800-34r1 3.4.2",
	"CIS v8 11.4",
	"AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_CROSS_REGION",
	"3-2-1-1-0 1-offsite",
]}]

locked(id) := [] if {
	some plan in verified(id)
	plan.retention.immutable_for_s > 0
	is_number(plan.retention.immutable_for_s)
	some place in plan.locations
	input.settings.locations[place].immutable == true
} else := [{"told": "no locked copy", "controls": [
	"AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK",
	"3-2-1-1-0 1-locked",
]}]

# What nobody verified is no copy.
verified(id) := [plan |
	some plan in plans.holding(id)
	plan.verification.checksum_required == true
]

held(id) := {location |
	some plan in verified(id)
	some place in plan.locations
	location := object.union(input.settings.locations[place], {"location_id": place})
}
