package seawall.rules.scenarios.runbook_sound_test

import rego.v1

import data.seawall.rules.scenarios.runbook_sound as rule

declare := {"step": "declare", "action": "manual_confirmation", "deadline_s": 600}

one := {"step": "one", "action": "restore", "dataset": "d", "depends_on": ["declare"], "deadline_s": 1200}

two := {"step": "two", "action": "restore", "dataset": "e", "depends_on": ["declare"], "deadline_s": 1800}

check := {"step": "check", "action": "http_check", "depends_on": ["one", "two"], "deadline_s": 300}

tree(runbook) := {
	"scenarios": {"s": {"datasets": ["d", "e"], "objective": {"rto_s": 2700}, "runbook": runbook}},
	"facts": {"scenarios": {"s": {
		"seconds": 2700,
		"bounded": true,
		"chain": ["declare", "two", "check"],
		"circle": [],
		"slow": [],
		"unreadable": [],
	}}},
}

told(found) := {finding.msg | some finding in found}

test_sound if {
	count(rule.deny) == 0 with input as tree([declare, one, two, check])
}

test_too_long if {
	found := rule.deny with input as tree([declare, one, two, check]) with input.scenarios.s.objective.rto_s as 2699
	told(found) == {"the runbook of `s` takes 45 min, its objective allows 44 min 59 s"}
	some finding in found
	finding.because[0].label == "longest chain: declare, two, check"
}

test_absent_facts_fire if {
	found := rule.deny with input as object.remove(tree([declare, one, two, check]), {"facts"})
	told(found) == {"the runbook of `s` takes an unknown time, its objective allows 45 min"}
}

test_null_is_no_time if {
	count(rule.deny) == 1 with input as tree([declare, one, two, check]) with input.facts.scenarios.s.seconds as null
	count(rule.deny) == 1 with input as tree([declare, one, two, check]) with input.scenarios.s.objective.rto_s as null
}

test_a_step_twice if {
	found := rule.deny with input as tree([declare, one, object.union(two, {"step": "one"}), check])
	"runbook of `s` has two steps `one`" in told(found)
}

test_an_unknown_dependency if {
	found := rule.deny with input as tree([declare, object.union(one, {"depends_on": ["declare", "gone"]}), two, check])
	told(found) == {"step `one` of `s` waits for `gone`, which is no step"}
}

test_a_circle if {
	found := rule.deny with input as tree([declare, one, two, check])
		with input.facts.scenarios.s as {"seconds": 9007199254740991, "bounded": false, "chain": [], "circle": ["one", "check"], "slow": [], "unreadable": []}
	told(found) == {"steps of `s` wait for each other: one waits for check waits for one, and so on for ever"}
}

test_a_dataset_that_nothing_brings_back if {
	found := rule.deny with input as tree([declare, one, object.union(two, {"dataset": "d"}), check])
	told(found) == {"no step of the runbook of `s` brings `e` back"}
}

test_a_restore_without_a_dataset_stands_for_all if {
	runbook := [declare, object.remove(one, {"dataset"}), object.remove(two, {"dataset"}), check]
	count(rule.deny) == 0 with input as tree(runbook)
}

test_a_forgotten_dataset_beside_others if {
	found := rule.deny with input as tree([declare, one, object.remove(two, {"dataset"}), check])
	told(found) == {"step `two` of `s` restores all of the scenario, other steps one dataset each"}
	some finding in found
	finding.at == ["scenarios", "s", "runbook", 2]
}

test_a_dataset_that_the_scenario_does_not_name if {
	found := rule.deny with input as tree([declare, one, object.union(two, {"dataset": "x"}), check])
	"step `two` of `s` acts on `x`, which the scenario does not name" in told(found)
}

test_nothing_is_checked if {
	found := rule.deny with input as tree([declare, one, two, object.union(check, {"action": "resume"})])
	told(found) == {"nothing is checked after the restores of `s`"}
}

test_a_restore_without_the_time_to_read if {
	found := rule.deny with input as tree([declare, one, two, check])
		with input.facts.scenarios.s.slow as [{"step": "two", "deadline_seconds": 1800, "alone_seconds": 1500, "shared_seconds": 2400}]
	told(found) == {"step `two` of `s` has 30 min, reading `e` back takes 40 min"}
	some finding in found
	finding.at == ["scenarios", "s", "runbook", 2, "deadline_s"]
	finding.measure.seconds == 2400
}

test_nothing_left_to_read if {
	found := rule.deny with input as tree([declare, one, two, check]) with input.facts.scenarios.s.unreadable as ["one"]
	told(found) == {"step `one` of `s` restores `d`, of which the scenario leaves nothing that can be read"}
	some finding in found
	finding.at == ["scenarios", "s", "runbook", 1, "dataset"]
}

test_readings_that_nobody_told if {
	every field in ["slow", "unreadable"] {
		whole := tree([declare, one, two, check])
		found := rule.deny with input as json.remove(whole, [concat("/", ["facts/scenarios/s", field])])
		told(found) == {"what the restores of `s` take is not known"}
	}
}

test_no_runbook if {
	found := rule.deny with input as tree([])
	"scenario `s` has no runbook" in told(found)
}
