# METADATA
# title: receipts show lately that runbooks were carried out
# description: >-
#   Where receipts are given, they show for every scenario a drill that succeeded, as often as the strictest tier of its datasets asks
#   for drills, and none that failed since.
# custom:
#   code: SW0332
#   severity: error
#   looks_at: drills
#   controls:
#     - NIST SP 800-53r5 CP-4
#     - NIST SP 800-53r5 CP-4(4)
#     - NIST SP 800-34r1 3.5.1
#     - NIST SP 800-34r1 3.5.3
#     - ISO 22301:2019 8.5
#     - ISO 22301:2019 8.6
#     - SOC 2 A1.3
#     - SOC 2 CC7.5
#     - DORA 12(2)
package seawall.rules.scenarios.drills_held

import rego.v1

import data.seawall.lib.duration

deny contains finding if {
	some id, fact in input.facts.scenarios
	some reason in fact.evidence.stale
	reason.why == "undrilled"
	finding := {
		"at": ["scenarios", id, "scenario_id"],
		"msg": sprintf("%s, the strictest tier of its data asks for one every %s", [undrilled(id, reason), duration.human(reason.limit_s)]),
		"help": "carry its runbook out against the isolated target, and keep the receipts",
		"measure": {"seconds": reason.seconds},
	}
}

deny contains finding if {
	some id, fact in input.facts.scenarios
	some reason in fact.evidence.stale
	reason.why == "drill_failed"
	finding := {
		"at": ["scenarios", id, "runbook"],
		"msg": sprintf("the last drill of `%s` did not succeed", [id]),
		"help": "amend the runbook by what the drill showed, and hold it again",
	}
}

undrilled(id, reason) := sprintf("the last drill of `%s` that succeeded is %s old", [id, duration.human(reason.seconds)]) if {
	reason.ever
} else := sprintf("no drill of `%s` succeeded in the %s that receipts go back", [id, duration.human(reason.seconds)])
