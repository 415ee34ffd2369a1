# METADATA
# title: what is accepted has a reason, an owner and an end
# description: >-
#   A waiver says in words why a finding is accepted, belongs to a declared role, has no longer to go than the environment
#   allows, and is the only one for its code and target. No waiver accepts a finding of this rule.
# custom:
#   code: SW0606
#   severity: error
#   looks_at: waivers
#   controls:
#     - NIST SP 800-53r5 CA-5
#     - NIST SP 800-53r5 PM-4
#     - ISO/IEC 27001:2022 A.5.36
#     - ISO 22301:2019 10.1
#     - SOC 2 CC3.2
package seawall.rules.governance.waiver_hygiene

import rego.v1

import data.seawall.lib.duration
import data.seawall.lib.instant

# Two words are a label, not a reason.
fewest_words := 4

deny contains finding if {
	some id, waiver in input.waivers
	words := [word | some word in split(object.get(waiver, "reason", ""), " "); word != ""]
	count(words) < fewest_words
	finding := {
		"at": ["waivers", id, "reason"],
		"msg": sprintf("the reason of waiver `%s` says nothing", [id]),
		"help": "say in a sentence why the finding is accepted, and what will end it",
	}
}

deny contains finding if {
	some id, waiver in input.waivers
	owner := object.get(waiver, "owner", "nobody")
	not input.settings.roles[owner]
	finding := {
		"at": ["waivers", id, "owner"],
		"msg": sprintf("waiver `%s` belongs to `%s`, which is no role", [id, owner]),
		"help": "name a declared role: somebody must answer for what is accepted",
	}
}

deny contains finding if {
	some id, waiver in input.waivers
	limit := input.environment.waiver_limit_s
	not in_time(waiver, limit)
	finding := {
		"at": ["waivers", id, "expiry"],
		"msg": sprintf("waiver `%s` lasts until %v, longer than the %s that `%s` allows from now on", [
			id, object.get(waiver, "expiry", "an unknown instant"), duration.human(limit), input.environment.environment_id,
		]),
		"because": [["environment", "waiver_limit_s"]],
		"help": "write an earlier `expiry`; what takes longer is policy, and belongs in the objective",
	}
}

deny contains finding if {
	some id, waiver in input.waivers
	some target in waiver.targets
	some other, earlier in input.waivers
	other < id
	earlier.code == waiver.code
	target in earlier.targets
	finding := {
		"at": ["waivers", id, "targets"],
		"msg": sprintf("waiver `%s` accepts `%s` about `%s`, as `%s` does", [id, waiver.code, target, other]),
		"because": [{"at": ["waivers", other, "targets"], "label": "accepted here too"}],
		"help": "keep one of the two: of several the widest counts, and nobody sees which that is",
	}
}

in_time(waiver, limit) if {
	is_number(input.at)
	is_number(limit)
	instant.unix(waiver.expiry) <= input.at + limit
}
