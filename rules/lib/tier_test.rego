package seawall.lib.tier_test

import rego.v1

import data.seawall.lib.tier

tiers := {"tier1": {"rank": 1}, "tier2": {"rank": 2}, "odd": {"rank": null}}

test_ranks_0_and_1_are_critical if tier.critical({"criticality": "tier1"}) with input.settings.tiers as tiers

test_rank_2_is_not if not tier.critical({"criticality": "tier2"}) with input.settings.tiers as tiers

test_an_unknown_rank_is_critical if {
	tier.critical({"criticality": "odd"}) with input.settings.tiers as tiers
	tier.critical({"criticality": "none"}) with input.settings.tiers as tiers
	tier.critical({}) with input.settings.tiers as tiers
}

test_eligibility if {
	tier.backed_up({"eligibility": "backed_up"})
	tier.backed_up({})
	not tier.backed_up({"eligibility": "excluded"})
}
