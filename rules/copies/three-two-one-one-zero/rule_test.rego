package seawall.rules.copies.three_two_one_one_zero_test

import rego.v1

import data.seawall.rules.copies.three_two_one_one_zero as rule

location(account, region, immutable) := {"fault_domains": {"account": account, "region": region}, "immutable": immutable}

tree(near, far) := {
	"datasets": {"d": {"criticality": "t", "eligibility": "backed_up", "site": "s"}},
	"plans": {"p": {
		"dataset_ids": ["d"], "locations": ["near", "far"],
		"verification": {"checksum_required": true}, "retention": {"immutable_for_s": 86400},
	}},
	"settings": {
		"tiers": {"t": {"rank": 1}},
		"sites": {"s": {"fault_domains": {"region": "west"}}},
		"locations": {"near": near, "far": far},
	},
	"facts": {"datasets": {"d": {"redundancy": {"engine": 1}}}},
}

near := location("a", "west", false)

good := tree(near, location("b", "east", true))

said(text) if {
	count(rule.deny) == 1
	some finding in rule.deny
	endswith(finding.msg, text)
}

test_kept if count(rule.deny) == 0 with input as good

test_one_location if {
	said("2 verified copies with the live data; one account holds all copies and one engine writes them") with input as good
		with input.plans.p.locations as ["far"]
}

test_one_account if {
	said("0: one account holds all copies and one engine writes them") with input as tree(near, location("a", "east", true))
}

test_two_engines_do_for_two_accounts if {
	count(rule.deny) == 0 with input as tree(near, location("a", "east", true))
		with input.facts.datasets.d.redundancy.engine as 2
}

# Only the clauses of what is missing are touched, and those that any missing part touches.
test_each_part_names_its_clauses if {
	found := rule.deny with input as tree(near, location("b", "east", false))
	{control | some finding in found; some control in finding.controls} == {
		"NIST SP 800-53r5 CP-9", "NIST CSF 2.0 PR.DS-11", "ISO/IEC 27001:2022 A.8.13", "3-2-1-1-0 1-locked",
		"AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK",
	}
}

test_one_region if said("0: no copy outside of the region of the live data") with input as tree(near, location("b", "west", true))

test_nothing_can_be_locked if said("0: no locked copy") with input as tree(near, location("b", "east", false))

test_nothing_is_locked if said("0: no locked copy") with input as good with input.plans.p.retention.immutable_for_s as 0

test_what_is_not_verified_does_not_count if {
	said("no locked copy") with input as good with input.plans.p.verification.checksum_required as false
}

test_absent_facts_and_settings_fire if {
	said("no locked copy") with input as object.remove(good, {"facts"}) with input.settings.locations as {}
}

test_other_tiers_may_keep_less if {
	count(rule.deny) == 0 with input as tree(near, near) with input.settings.tiers.t.rank as 2
}

test_without_a_plan_another_rule_speaks if count(rule.deny) == 0 with input as good with input.plans as {}
