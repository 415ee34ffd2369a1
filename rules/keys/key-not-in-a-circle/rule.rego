# METADATA
# title: no key hangs on data that it seals
# description: >-
#   A key whose bytes a dataset holds comes back when that dataset does. Some plan of the dataset, or of all from which it is
#   rebuilt, is sealed with a key that comes back without it: else the key cannot be had on the day on which it is needed.
# custom:
#   code: SW0330
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 SC-12(1)
#     - NIST SP 800-53r5 CP-9(8)
#     - ISO/IEC 27001:2022 A.8.24
package seawall.rules.keys.key_not_in_a_circle

import rego.v1

# Every key of a circle tells the same way round, which begins at the first of them: it is one finding.
deny contains finding if {
	fact := input.facts.keys[_]
	fact.hangs_on == "itself"
	kid := fact.chain[0].id
	finding := {
		"at": kept_in(kid),
		"label": sprintf("kept in `%s`", [fact.chain[1].id]),
		"msg": sprintf("key `%s` hangs on itself: without it the data that holds it cannot be read", [kid]),
		"notes": [fact.told],
		"because": [{"at": ["plans", link.id, "encryption_key_ref"], "label": sprintf("plan `%s` is sealed with it", [link.id])} |
			some index, link in fact.chain
			link.kind == "plan"
			fact.chain[index + 1].id == kid
		],
		"help": "keep the key, or a second copy of the data that holds it, under a key that needs none of these",
	}
}

deny contains finding if {
	some kid, fact in input.facts.keys
	fact.hangs_on == "lost_data"
	finding := {
		"at": kept_in(kid),
		"msg": sprintf("key `%s` is kept in `%s`, which nothing brings back", [kid, fact.kept_in]),
		"notes": [fact.told],
		"help": "back the dataset up under a key that is kept elsewhere, or keep the key elsewhere",
	}
}

# A key that seals a plan, and of which nothing is proven, is not known to come back.
deny contains finding if {
	some id, plan in input.plans
	kid := plan.encryption_key_ref
	not known(kid)
	finding := {
		"at": ["plans", id, "encryption_key_ref"],
		"msg": sprintf("nothing is proven of key `%s` of plan `%s`", [kid, id]),
		"help": "this is a fault of Seawall; report it",
	}
}

known(kid) if is_boolean(input.facts.keys[kid].recoverable)

kept_in(kid) := ["settings", "keys", kid, "kept_in"]
