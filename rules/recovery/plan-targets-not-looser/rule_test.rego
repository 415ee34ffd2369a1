package seawall.rules.recovery.plan_targets_not_looser_test

import rego.v1

import data.seawall.rules.recovery.plan_targets_not_looser as rule

tree(targets) := {
	"plans": {"p": object.union({"dataset_ids": ["lax", "strict"]}, targets)},
	"datasets": {"lax": {"rpo_s": 7200, "rto_s": 7200}, "strict": {"rpo_s": 3600, "rto_s": 3600}},
}

test_as_strict_as_the_strictest if count(rule.deny) == 0 with input as tree({"target_rpo_s": 3600, "target_rto_s": 60})

test_looser if {
	found := rule.deny with input as tree({"target_rpo_s": 3601})
	{finding.msg | some finding in found} == {"plan `p` promises RPO of 1 h 1 s, its dataset `strict` demands 1 h"}
}

test_targets_are_optional if count(rule.deny) == 0 with input as tree({})

test_null_is_no_promise if count(rule.deny) == 2 with input as tree({"target_rpo_s": null})

test_an_unknown_dataset_fires if {
	count(rule.deny) == 1 with input as {"plans": {"p": {"dataset_ids": ["gone"], "target_rpo_s": 1}}}
}
