# METADATA
# title: data and its copies reside where they may
# description: >-
#   The site of a dataset, and every location at which one of its plans keeps a copy, resides where the dataset's residency
#   allows. A backup is no way around the law.
# custom:
#   code: SW0312
#   severity: error
#   looks_at: datasets
#   controls:
#     - NIST SP 800-53r5 SA-9(5)
#     - ISO/IEC 27001:2022 A.5.34
#     - SOC 2 C1.1
package seawall.rules.copies.copies_respect_residency

import rego.v1

deny contains finding if {
	some id, plan in input.plans
	some dataset_id in plan.dataset_ids
	allowed := object.get(input, ["datasets", dataset_id, "residency"], [])
	some location_id in plan.locations
	place := object.get(input, ["settings", "locations", location_id, "residency"], "unknown")
	not place in allowed
	finding := {
		"at": ["plans", id, "storage_profiles"],
		"label": sprintf("`%s` resides in `%s`", [location_id, place]),
		"msg": sprintf("plan `%s` keeps a copy of `%s` at `%s` in `%s`, it may reside in %s", [id, dataset_id, location_id, place, listed(allowed)]),
		"because": [["datasets", dataset_id, "residency"], {"at": ["settings", "locations", location_id, "residency"], "label": "it resides here"}],
		"help": "choose storage profiles whose locations reside where the dataset may",
	}
}

deny contains finding if {
	some id, dataset in input.datasets
	allowed := object.get(dataset, "residency", [])
	place := object.get(input, ["settings", "sites", dataset.site, "residency"], "unknown")
	not place in allowed
	finding := {
		"at": ["datasets", id, "site"],
		"msg": sprintf("`%s` lives in `%s`, it may reside in %s", [id, place, listed(allowed)]),
		"because": [["datasets", id, "residency"], {"at": ["settings", "sites", dataset.site, "residency"], "label": "it resides here"}],
		"help": "move the dataset, or correct its residency",
	}
}

listed(names) := concat(" or ", [sprintf("`%s`", [name]) | some name in names]) if {
	count(names) > 0
} else := "no place that is known"
