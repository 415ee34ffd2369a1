package seawall.rules.governance.alerts_reach_somebody_test

import rego.v1

import data.seawall.rules.governance.alerts_reach_somebody as rule

good := {
	"tiers": ["t0"],
	"thresholds": [{"watch": "backup_success"}],
	"escalation": [{"after_s": 0, "channels": ["room"]}, {"after_s": 900, "channels": ["pager"]}],
}

tree(alerts) := {
	"datasets": {"d": {"criticality": "t0"}, "e": {"criticality": "t3"}},
	"settings": {
		"tiers": {"t0": {"rank": 0}, "t3": {"rank": 3}},
		"channels": {"room": {"medium": "chat"}, "pager": {"medium": "paging"}},
		"alerts": alerts,
	},
}

changed(field, value) := tree({"a": object.union(good, {field: value})})

test_a_good_policy if count(rule.deny) == 0 with input as tree({"a": good})

test_none_at_all if count(rule.deny) == 0 with input as tree({})

test_a_critical_tier_is_left_out if count(rule.deny) == 1 with input as changed("tiers", ["t3"])

test_backups_are_not_watched if count(rule.deny) == 1 with input as changed("thresholds", [{"watch": "capacity"}])

test_nobody_at_once if {
	count(rule.deny) == 1 with input as changed("escalation", [{"after_s": 900, "channels": ["pager"]}])
}

test_nobody_wakes if count(rule.deny) == 1 with input as changed("escalation", [{"after_s": 0, "channels": ["room"]}])

test_an_unknown_channel_wakes_nobody if {
	count(rule.deny) == 1 with input as changed("escalation", [{"after_s": 0, "channels": ["gone"]}])
}

test_nobody_at_all if count(rule.deny) == 2 with input as changed("escalation", [])
