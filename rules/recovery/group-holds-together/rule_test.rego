package seawall.rules.recovery.group_holds_together_test

import rego.v1

import data.seawall.rules.recovery.group_holds_together as rule

rebuilt := {"b": {"rpo_s": 600, "eligibility": "reconstructed"}}

tree(loss, scenarios) := {
	"datasets": {"a": {"rpo_s": 60}, "b": {"rpo_s": 600}},
	"facts": {"datasets": {
		"a": {"loss": {"none": {"bounded": true, "seconds": 60}}},
		"b": {"loss": {"none": loss}},
	}},
	"groups": {"g": {"members": [{"dataset": "a"}, {"dataset": "b", "after": ["a"]}]}},
	"scenarios": scenarios,
}

bounded(seconds) := {"bounded": true, "seconds": seconds}

step(name, dataset, waits) := {"step": name, "action": "restore", "dataset": dataset, "depends_on": waits}

runbook(steps) := {"x": {"datasets": ["a", "b"], "runbook": steps}}

test_within_the_strictest if count(rule.deny) == 0 with input as tree(bounded(60), {})

test_within_its_own_and_not_the_groups if count(rule.deny) == 1 with input as tree(bounded(600), {})

test_what_breaks_its_own_is_told_there if {
	count(rule.deny) == 0 with input as tree(bounded(601), {})
	count(rule.deny) == 0 with input as tree({"bounded": false, "seconds": 9007199254740991}, {})
}

test_unbounded if {
	unbounded := tree({"bounded": false, "seconds": 9007199254740991}, {})
	count(rule.deny) == 1 with input as object.union(unbounded, {"datasets": rebuilt})
}

test_nothing_proven if count(rule.deny) == 1 with input as object.union(tree({}, {}), {"datasets": rebuilt})

test_a_scenario_without_a_member if {
	count(rule.deny) == 1 with input as tree(bounded(60), {"x": {"datasets": ["a"], "runbook": []}})
}

test_a_scenario_about_others if {
	count(rule.deny) == 0 with input as tree(bounded(60), {"x": {"datasets": ["c"], "runbook": []}})
}

test_in_order if {
	steps := [step("one", "a", []), step("two", "b", ["between"]), {"step": "between", "action": "fence", "depends_on": ["one"]}]
	count(rule.deny) == 0 with input as tree(bounded(60), runbook(steps))
}

test_out_of_order if {
	steps := [step("one", "a", ["two"]), step("two", "b", [])]
	count(rule.deny) == 1 with input as tree(bounded(60), runbook(steps))
}
