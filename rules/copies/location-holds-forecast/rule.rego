# METADATA
# title: a location has room for what its plans keep
# description: >-
#   What the plans of a location keep in the steady state, before compression and deduplication, is at most its capacity. It is
#   an upper bound from the sizes and changes that datasets declare.
# custom:
#   code: SW0329
#   severity: warning
#   looks_at: backed_up_datasets
#   judges_all: true
#   controls:
#     - NIST SP 800-53r5 CP-6(2)
#     - ISO 22301:2019 8.3.4
#     - SOC 2 A1.1
package seawall.rules.copies.location_holds_forecast

import rego.v1

import data.seawall.lib.bytes

deny contains finding if {
	some id, location in input.settings.locations
	fact := object.get(input, ["facts", "locations", id], {})
	not holds(fact, location)
	finding := {
		"at": ["settings", "locations", id, "capacity_bytes"],
		"label": "this much fits",
		"msg": sprintf("location `%s` holds %s, %s", [id, room(location), needed(fact)]),
		"notes": array.concat(most(fact), without_bound(fact)),
		"help": "give the location a larger capacity, let its plans keep fewer points, or send some of them elsewhere",
		"measure": {"count": gibibytes(fact)},
	}
}

holds(fact, location) if {
	fact.bounded == true
	is_number(fact.needed_bytes)
	is_number(location.capacity_bytes)
	fact.needed_bytes <= location.capacity_bytes
}

room(location) := bytes.at_least(location.capacity_bytes) if {
	is_number(location.capacity_bytes)
} else := "nothing that can be read"

needed(fact) := sprintf("its plans need %s", [bytes.at_most(fact.needed_bytes)]) if {
	fact.bounded == true
	is_number(fact.needed_bytes)
} else := "what its plans need has no bound"

# What has no bound is more than any waiver accepts.
gibibytes(fact) := ceil(fact.needed_bytes / 1073741824) if {
	fact.bounded == true
	is_number(fact.needed_bytes)
} else := 9007199254740991

most(fact) := [sprintf("most by %s", [concat(", ", [text |
	some share in object.get(fact, "largest", [])
	text := sprintf("`%s` of `%s` with %s", [share.dataset, share.plan, bytes.at_most(share.bytes)])
])])] if {
	count(object.get(fact, "largest", [])) > 0
} else := []

without_bound(fact) := [sprintf("no number is known of %d of its plans, such as `%s`", [count(fact.unbounded), fact.unbounded[0]])] if {
	count(fact.unbounded) > 0
} else := []
