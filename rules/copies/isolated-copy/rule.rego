# METADATA
# title: data of tier 0 and 1 has a copy that nobody who reaches the rest can delete
# description: >-
#   One copy of each such dataset is locked and stands in an account and behind a credential that neither the live data nor
#   any other copy of it uses: a logical air gap. Without any copy outside of the account of the live data there is none.
# custom:
#   code: SW0325
#   severity: warning
#   looks_at: critical_datasets
#   controls:
#     - NIST SP 800-53r5 CP-6
#     - NIST SP 800-53r5 CP-9(3)
#     - ISO/IEC 27001:2022 A.8.13
#     - CIS v8 11.4
#     - DORA 12(3)
#     - AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT
#     - AWS Backup Audit Manager RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT
package seawall.rules.copies.isolated_copy

import rego.v1

import data.seawall.lib.plans
import data.seawall.lib.tier

# A dataset without any plan is another rule's business.
deny contains finding if {
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	tier.critical(dataset)
	count(plans.holding(id)) > 0
	not isolated(id, dataset)
	lacking := what(id, dataset)
	finding := {
		"at": ["plans", min(plans.of[id]), "storage_profiles"],
		"about": ["datasets", id],
		"label": "kept here",
		"msg": sprintf("`%s` has %s", [id, lacking.told]),
		"because": [{"at": ["datasets", id, "criticality"], "label": "a tier that should have one"}],
		"help": "add a storage profile with a locked location in an account and behind a credential of its own, and lock the points by `immutable_for`",
		"controls": lacking.controls,
	}
}

# What is in another account is short of being isolated alone.
what(id, dataset) := {
	"told": "copies outside of the account of the live data, but none that is locked in an account and behind a credential of its own",
	"controls": isolating,
} if {
	count(elsewhere(id, dataset)) > 0
} else := {
	"told": "no copy outside of the account of the live data",
	"controls": array.concat(isolating, ["AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT"]),
}

isolating := [
	"NIST SP 800-53r5 CP-6",
	"NIST SP 800-53r5 CP-9(3)",
	"ISO/IEC 27001:2022 A.8.13",
	"CIS v8 11.4",
	"DORA 12(3)",
	"AWS Backup Audit Manager RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT",
]

elsewhere(id, dataset) := {place |
	some place in places(id)
	input.settings.locations[place].fault_domains.account != input.settings.sites[dataset.site].fault_domains.account
}

isolated(id, dataset) if {
	some plan in plans.holding(id)
	is_number(plan.retention.immutable_for_s)
	plan.retention.immutable_for_s > 0
	some place in plan.locations
	input.settings.locations[place].immutable == true
	alone(id, dataset, place, "account")
	alone(id, dataset, place, "credential")
}

# Neither the live data nor another copy stands in the same domain of this kind; one that nobody knows may be the same.
alone(id, dataset, place, kind) if {
	own := input.settings.locations[place].fault_domains[kind]
	own != input.settings.sites[dataset.site].fault_domains[kind]
	others := places(id) - {place}
	every other in others {
		own != input.settings.locations[other].fault_domains[kind]
	}
}

places(id) := {place | some plan in plans.holding(id); some place in plan.locations}
