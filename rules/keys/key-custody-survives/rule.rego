# METADATA
# title: what a tier survives leaves a key behind
# description: >-
#   For each kind of loss that a dataset's tier survives, at least one of its plans is sealed with a key whose custody that
#   loss does not take. A copy without its key is noise.
# custom:
#   code: SW0316
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 SC-12(1)
#     - NIST SP 800-53r5 CP-9(8)
#     - ISO/IEC 27001:2022 A.8.24
#     - SOC 2 CC6.1
package seawall.rules.keys.key_custody_survives

import rego.v1

import data.seawall.lib.plans
import data.seawall.lib.tier

# The kinds that a domain stands in: itself and, for places, what holds it.
holders := {
	"zone": {"zone", "region", "provider"},
	"region": {"region", "provider"},
}

deny contains finding if {
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	some index, demand in input.settings.tiers[dataset.criticality].survives
	taken := {plan.encryption_key_ref |
		some plan in plans.holding(id)
		lost_with(plan.encryption_key_ref, demand.lose)
	}
	kept := {custody(plan.encryption_key_ref) | some plan in plans.holding(id)}

	# Keys held in two different domains of a kind are not lost together.
	count(taken) > 0
	count(kept) < 2
	some kid in taken
	finding := {
		"at": ["settings", "keys", kid, "custody"],
		"about": ["datasets", id],
		"label": sprintf("kept in `%s`", [custody(kid)]),
		"msg": sprintf("a lost %s takes key `%s` and with it every copy of `%s`", [demand.lose, kid, id]),
		"because": [["settings", "tiers", dataset.criticality, "survives", index]],
		"help": "give the key to a custodian outside, or seal a second plan with a key kept elsewhere",
	}
}

lost_with(kid, lose) if lose in object.get(holders, kind(kid), {kind(kid)})

lost_with(kid, "key") if kid

# A key that is not known cannot be said to survive anything.
lost_with(kid, lose) if {
	not input.settings.keys[kid].custody
	not lose in {"none", "corruption"}
}

kind(kid) := split(custody(kid), ":")[0]

custody(kid) := object.get(input, ["settings", "keys", kid, "custody"], sprintf("unknown:%s", [kid]))
