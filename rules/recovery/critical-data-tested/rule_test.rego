package seawall.rules.recovery.critical_data_tested_test

import rego.v1

import data.seawall.rules.recovery.critical_data_tested as rule

tree(rank, tier, verification) := {
	"settings": {"tiers": {"t": object.union({"rank": rank}, tier)}},
	"datasets": {"d": {"criticality": "t"}},
	"plans": {"p": {"dataset_ids": ["d"], "verification": verification}},
}

tried := {"restore_test_every_s": 86400, "drill_every_s": 86400}

both := {"checksum_required": true, "periodic_restore_test_required": true}

test_all_there if count(rule.deny) == 0 with input as tree(0, tried, both)

test_no_drill if count(rule.deny) == 1 with input as tree(1, {"restore_test_every_s": 86400}, both)

test_null_is_no_cadence if count(rule.deny) == 1 with input as tree(0, object.union(tried, {"drill_every_s": null}), both)

test_no_checksums if count(rule.deny) == 1 with input as tree(0, tried, {"checksum_required": false, "periodic_restore_test_required": true})

test_no_verification_at_all if count(rule.deny) == 2 with input as tree(0, tried, {})

test_tier_2_may_do_without if count(rule.deny) == 0 with input as tree(2, {}, {})
