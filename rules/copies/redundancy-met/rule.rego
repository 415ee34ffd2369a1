# METADATA
# title: a plan's locations meet its redundancy profile
# description: >-
#   Copies, immutable copies and the distinct providers, regions, zones, accounts and credentials that a redundancy profile
#   demands are counted over the locations that the plan really has, engines over all copies of each dataset. A point counts
#   only at as many locations as there are.
# custom:
#   code: SW0302
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 CP-6(1)
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.8.13
#     - ISO/IEC 27001:2022 A.8.14
#     - SOC 2 A1.2
package seawall.rules.copies.redundancy_met

import rego.v1

kinds := ["provider", "region", "zone", "account", "credential"]

deny contains finding if {
	some id, plan in input.plans
	some kind in kinds
	found := {place.fault_domains[kind] | some place in places(plan)}
	demanded := object.get(plan, ["redundancy_profile", "distinct", kind], null)
	not enough(count(found), demanded)
	finding := {
		"at": ["plans", id, "storage_profiles"],
		"label": sprintf("these stand in %s", [listed(found)]),
		"msg": sprintf("plan `%s` keeps copies in %d %s, `%s` demands %v", [id, count(found), plural(kind, count(found)), profile(plan), demanded]),
		"because": [["settings", "redundancy", profile(plan), "distinct", kind]],
		"cause": ["settings", "redundancy", profile(plan), "distinct", kind],
		"help": sprintf("add a storage profile with a location in another %s", [kind]),
		"measure": missing(count(found), demanded),
	}
}

deny contains finding if {
	some id, plan in input.plans
	some field, what in {"copies": "locations", "commit": "locations for a point to count"}
	demanded := object.get(plan, ["redundancy_profile", field], null)
	not enough(count(places(plan)), demanded)
	finding := {
		"at": ["plans", id, "storage_profiles"],
		"label": sprintf("%d in all", [count(places(plan))]),
		"msg": sprintf("plan `%s` has %d locations, `%s` demands %v %s", [id, count(places(plan)), profile(plan), demanded, what]),
		"because": [["settings", "redundancy", profile(plan), field]],
		"cause": ["settings", "redundancy", profile(plan), field],
		"help": "add a storage profile, or choose a redundancy profile that the plan can meet",
		"measure": missing(count(places(plan)), demanded),
	}
}

deny contains finding if {
	some id, plan in input.plans
	found := count([place | some place in places(plan); place.immutable == true])
	demanded := object.get(plan, ["redundancy_profile", "immutable_copies"], null)
	not enough(found, demanded)
	finding := {
		"at": ["plans", id, "storage_profiles"],
		"label": sprintf("%d of these locations are immutable", [found]),
		"msg": sprintf("plan `%s` keeps %d immutable copies, `%s` demands %v", [id, found, profile(plan), demanded]),
		"because": [["settings", "redundancy", profile(plan), "immutable_copies"]],
		"cause": ["settings", "redundancy", profile(plan), "immutable_copies"],
		"help": "add a storage profile with a location that is immutable",
		"measure": missing(found, demanded),
	}
}

deny contains finding if {
	some id, plan in input.plans
	some dataset_id in plan.dataset_ids
	found := object.get(input, ["facts", "datasets", dataset_id, "redundancy", "engine"], null)
	demanded := object.get(plan, ["redundancy_profile", "distinct", "engine"], null)
	not enough(found, demanded)
	finding := {
		"at": ["plans", id, "redundancy_profile"],
		"msg": sprintf("`%s` is written by %v engines over all its plans, `%s` demands %v", [dataset_id, found, profile(plan), demanded]),
		"about": ["datasets", dataset_id],
		"because": [["settings", "redundancy", profile(plan), "distinct", "engine"]],
		"cause": ["settings", "redundancy", profile(plan), "distinct", "engine"],
		"help": "add a plan with a connector that another engine writes, or demand fewer engines",
		"measure": missing(found, demanded),
	}
}

# Locations that do not exist do not count.
places(plan) := [place | some id in plan.locations; place := input.settings.locations[id]]

enough(found, demanded) if {
	is_number(found)
	is_number(demanded)
	found >= demanded
}

# How many too few; where a number cannot be read, more than any waiver accepts.
missing(found, demanded) := {"count": demanded - found} if {
	is_number(found)
	is_number(demanded)
} else := {"count": 9007199254740991}

profile(plan) := object.get(plan, ["redundancy_profile", "redundancy_id"], "unknown")

listed(names) := concat(", ", [sprintf("`%s`", [name]) | some name in names]) if {
	count(names) > 0
} else := "no known place"

plural(kind, number) := kind if {
	number == 1
} else := sprintf("%ss", [kind])
