package seawall.rules.copies.redundancy_met_test

import rego.v1

import data.seawall.rules.copies.redundancy_met

place(region, immutable) := {
	"fault_domains": {"provider": "p", "region": region, "zone": region, "account": "a", "credential": "c"},
	"immutable": immutable,
}

profile := {
	"redundancy_id": "r", "copies": 2, "immutable_copies": 1, "commit": 1,
	"distinct": {"provider": 1, "region": 2, "zone": 2, "account": 1, "credential": 1, "engine": 1},
}

tree(profile_) := {
	"plans": {"p": {"dataset_ids": ["d"], "locations": ["near", "far"], "redundancy_profile": profile_}},
	"settings": {"locations": {"near": place("west", false), "far": place("east", true)}},
	"facts": {"datasets": {"d": {"redundancy": {"engine": 1}}}},
}

test_met if count(redundancy_met.deny) == 0 with input as tree(profile)

test_one_region_instead_of_two if {
	found := redundancy_met.deny with input as tree(profile) with input.settings.locations.far.fault_domains.region as "west"
	{finding.msg | some finding in found} == {"plan `p` keeps copies in 1 region, `r` demands 2"}
}

test_no_immutable_copy if count(redundancy_met.deny) == 1 with input as tree(profile) with input.settings.locations.far.immutable as false

test_commit_at_more_locations_than_there_are if {
	count(redundancy_met.deny) == 1 with input as tree(object.union(profile, {"commit": 3}))
}

test_an_unknown_location_does_not_count if {
	count(redundancy_met.deny) > 0 with input as tree(profile) with input.plans.p.locations as ["near", "gone"]
}

test_null_demands_fire if count(redundancy_met.deny) == 1 with input as tree(object.union(profile, {"copies": null}))

test_an_absent_profile_fires if count(redundancy_met.deny) > 0 with input as tree({})

test_engines_are_counted_over_all_plans if {
	count(redundancy_met.deny) == 1 with input as tree(object.union(profile, {"distinct": object.union(profile.distinct, {"engine": 2})}))
	count(redundancy_met.deny) == 1 with input as object.remove(tree(profile), {"facts"})
}
