package seawall.rules.copies.isolated_copy_test

import rego.v1

import data.seawall.rules.copies.isolated_copy as rule

location(account, credential, immutable) := {"fault_domains": {"account": account, "credential": credential}, "immutable": immutable}

tree(near, far) := {
	"datasets": {"d": {"criticality": "t", "eligibility": "backed_up", "site": "s"}},
	"plans": {"p": {"dataset_ids": ["d"], "locations": ["near", "far"], "retention": {"immutable_for_s": 86400}}},
	"settings": {
		"tiers": {"t": {"rank": 1}},
		"sites": {"s": {"fault_domains": {"account": "live", "credential": "runtime"}}},
		"locations": {"near": near, "far": far},
	},
}

near := location("live", "writer", false)

good := tree(near, location("vault", "vault-writer", true))

air_gap := "AWS Backup Audit Manager RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT"

other_account := "AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT"

# Another account is there, and yet nothing is isolated.
short if {
	count(rule.deny) == 1
	some finding in rule.deny
	startswith(finding.msg, "`d` has copies outside of the account")
	air_gap in finding.controls
	not other_account in finding.controls
}

at_home if {
	count(rule.deny) == 1
	some finding in rule.deny
	finding.msg == "`d` has no copy outside of the account of the live data"
	air_gap in finding.controls
	other_account in finding.controls
}

test_isolated if count(rule.deny) == 0 with input as good

test_the_only_copy_may_be_the_isolated_one if count(rule.deny) == 0 with input as good with input.plans.p.locations as ["far"]

test_all_in_the_account_of_the_live_data if at_home with input as tree(near, location("live", "vault-writer", true))

test_not_locked_by_the_location if short with input as tree(near, location("vault", "vault-writer", false))

test_not_locked_by_the_plan if short with input as good with input.plans.p.retention.immutable_for_s as 0

test_absent_lock_fires if short with input as good with input.plans.p.retention as {}

test_the_credential_of_the_live_data if short with input as tree(near, location("vault", "runtime", true))

test_the_credential_of_another_copy if short with input as tree(near, location("vault", "writer", true))

test_the_account_of_another_copy if {
	short with input as tree(location("vault", "writer", false), location("vault", "vault-writer", true))
}

test_an_unknown_site_fires if at_home with input as good with input.settings.sites as {}

test_unknown_locations_fire if at_home with input as good with input.settings.locations as {}

test_another_copy_that_nobody_knows_may_share_the_account if {
	short with input as good with input.plans.p.locations as ["far", "lost"]
}

test_other_tiers_may_do_without if {
	count(rule.deny) == 0 with input as tree(near, near) with input.settings.tiers.t.rank as 2
}

test_without_a_plan_another_rule_speaks if count(rule.deny) == 0 with input as good with input.plans as {}
