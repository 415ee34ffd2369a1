package seawall.rules.keys.key_custody_survives_test

import rego.v1

import data.seawall.rules.keys.key_custody_survives as rule

tree(lose, custody) := {
	"datasets": {"d": {"criticality": "t", "eligibility": "backed_up"}},
	"plans": {"p": {"dataset_ids": ["d"], "encryption_key_ref": "k"}},
	"settings": {
		"tiers": {"t": {"survives": [{"lose": lose}]}},
		"keys": {"k": {"custody": custody}},
	},
}

second := {"dataset_ids": ["d"], "encryption_key_ref": "other"}

test_kept_outside if count(rule.deny) == 0 with input as tree("region", "host:safe")

test_kept_inside if count(rule.deny) == 1 with input as tree("region", "region:west")

test_a_region_is_lost_with_its_provider if count(rule.deny) == 1 with input as tree("provider", "region:west")

test_a_region_is_not_lost_with_a_zone if count(rule.deny) == 0 with input as tree("zone", "region:west")

test_two_keys_in_two_regions if {
	count(rule.deny) == 0 with input as tree("region", "region:west") with input.plans.q as second with input.settings.keys.other as {"custody": "region:east"}
}

test_two_keys_in_one_region if {
	count(rule.deny) == 2 with input as tree("region", "region:west") with input.plans.q as second with input.settings.keys.other as {"custody": "region:west"}
}

test_live_data_alone_takes_no_key if count(rule.deny) == 0 with input as tree("none", "region:west")

test_an_unknown_key_survives_nothing if {
	count(rule.deny) == 1 with input as tree("region", "host:safe") with input.settings.keys as {}
}

test_a_lost_key_takes_itself if count(rule.deny) == 1 with input as tree("key", "host:safe")
