package seawall.rules.governance.separation_of_duties_test

import rego.v1

import data.seawall.rules.governance.separation_of_duties as rule

actions := ["restore_in_place", "purge", "suspend", "failover", "break_glass"]

tree(environment, approvals) := {
	"environment": environment,
	"datasets": {"d": {"criticality": "t0"}},
	"settings": {
		"tiers": {"t0": {"rank": 0}},
		"roles": {"one": {"may": ["restore_in_place", "suspend", "failover", "break_glass"]}, "two": {"may": ["purge"]}},
		"approvals": {action: {
			"action": action, "environments": ["prod"], "tiers": ["t0"], "approvals": approvals, "roles": [role(action)],
		} |
			some action in actions
		},
	},
}

role("purge") := "two"

role(action) := "one" if action != "purge"

prod := {"environment_id": "prod", "production": true}

test_all_approved if count(rule.deny) == 0 with input as tree(prod, 1)

test_nobody_asked if count(rule.deny) == 5 with input as tree(prod, 0)

test_null_is_no_count if count(rule.deny) == 5 with input as tree(prod, null)

test_elsewhere_it_may_be_0 if count(rule.deny) == 0 with input as tree({"environment_id": "prod", "production": false}, 0)

test_an_environment_that_does_not_say_is_production if count(rule.deny) == 5 with input as tree({"environment_id": "prod"}, 0)

test_a_missing_policy if {
	found := rule.deny with input as tree(prod, 1) with input.settings.approvals.purge.tiers as []
	{finding.msg | some finding in found} == {"`purge` of t0 data needs nobody's approval in `prod`"}
}

test_an_approver_who_may_not if {
	count(rule.deny) == 1 with input as tree(prod, 1) with input.settings.approvals.purge.roles as ["one"]
}

test_one_role_for_both if {
	count(rule.deny) == 1 with input as tree(prod, 1) with input.settings.roles.two.may as ["purge", "suspend"]
}

test_approvals_that_nobody_can_give if {
	found := rule.deny with input as tree(prod, 1) with input.settings.approvals.purge.roles as []
	"`purge` asks for approvals, and no role can give them" in {finding.msg | some finding in found}
}
