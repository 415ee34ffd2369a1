package seawall.rules.recovery.standby_sound_test

import rego.v1

import data.seawall.rules.recovery.standby_sound as rule

good := {"dataset": "d", "primary": "west", "standby": "east", "lag_limit_s": 60}

tree(standby) := {
	"datasets": {"d": {"site": "west", "residency": ["eu"], "rpo_s": 60}, "other": {"site": "west", "residency": ["eu"]}},
	"settings": {"sites": {
		"west": {"residency": "eu", "fault_domains": {"zone": "a"}},
		"beside": {"residency": "eu", "fault_domains": {"zone": "a"}},
		"east": {"residency": "eu", "fault_domains": {"zone": "b"}},
		"far": {"residency": "us", "fault_domains": {"zone": "c"}},
	}},
	"standbys": {"s": standby},
	"scenarios": {},
}

changed(field, value) := tree(object.union(good, {field: value}))

scenario(strategy, datasets) := object.union(tree(good), {"scenarios": {"x": {"strategy": strategy, "datasets": datasets}}})

test_a_good_standby if count(rule.deny) == 0 with input as tree(good)

test_another_primary if count(rule.deny) == 1 with input as changed("primary", "far")

test_an_unknown_dataset if count(rule.deny) == 3 with input as changed("dataset", "gone")

test_the_same_zone if count(rule.deny) == 1 with input as changed("standby", "beside")

test_an_unknown_site if count(rule.deny) == 2 with input as changed("standby", "gone")

test_residency if count(rule.deny) == 1 with input as changed("standby", "far")

test_too_far_behind if count(rule.deny) == 1 with input as changed("lag_limit_s", 61)

test_no_objective if count(rule.deny) == 1 with input as changed("dataset", "other")

test_a_scenario_with_its_standby if count(rule.deny) == 0 with input as scenario("failover_to_standby", ["d"])

test_a_scenario_without if count(rule.deny) == 1 with input as scenario("failover_to_standby", ["d", "other"])

test_a_restore_needs_none if count(rule.deny) == 0 with input as scenario("backup_and_restore", ["other"])
