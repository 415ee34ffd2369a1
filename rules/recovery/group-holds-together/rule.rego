# METADATA
# title: a group comes back together
# description: >-
#   Each dataset of a group loses at most what the strictest of them may lose, because an older part makes the rest
#   inconsistent. A scenario that names one of them names all, and its runbook brings none back before those that it waits for.
# custom:
#   code: SW0322
#   severity: error
#   looks_at: groups
#   controls:
#     - NIST SP 800-53r5 CP-10
#     - NIST SP 800-34r1 3.2.3
#     - NIST SP 800-34r1 4.3.1
#     - NIST CSF 2.0 RC.RP-02
#     - ISO/IEC 27001:2022 A.5.30
#     - ISO 22301:2019 8.4
package seawall.rules.recovery.group_holds_together

import rego.v1

import data.seawall.lib.duration
import data.seawall.lib.tier

unbounded := 9007199254740991

deny contains finding if {
	some id, group in input.groups
	some index, member in group.members
	loss := lost(member.dataset)
	allowed := strictest(group)
	loss > allowed
	not told_already(member.dataset, loss)
	finding := {
		"at": ["groups", id, "members", index, "dataset"],
		"about": ["datasets", member.dataset],
		"msg": sprintf("`%s` loses %s with all copies left, its group `%s` may lose %s", [
			member.dataset, duration.human(loss), id, duration.human(allowed),
		]),
		"because": [{"at": ["datasets", holder, "rpo_s"], "label": "the strictest of the group"} |
			holder := [other.dataset | some other in group.members; rpo(other.dataset) == allowed][0]
		],
		"help": "back it up as often as the strictest, or take it out of the group",
		"measure": {"seconds": loss},
	}
}

deny contains finding if {
	some id, group in input.groups
	some scenario_id, scenario in input.scenarios
	members := {member.dataset | some member in group.members}
	named := {dataset | some dataset in scenario.datasets}
	count(members & named) > 0
	some missing in members - named
	finding := {
		"at": ["scenarios", scenario_id, "datasets"],
		"about": ["datasets", missing],
		"msg": sprintf("scenario `%s` brings back a part of group `%s` without `%s`", [scenario_id, id, missing]),
		"because": [["groups", id, "members"]],
		"help": "name all members of the group in the scenario",
	}
}

deny contains finding if {
	some id, group in input.groups
	some index, member in group.members
	some earlier in object.get(member, "after", [])
	some scenario_id, scenario in input.scenarios
	some number, step in scenario.runbook
	step.action in {"restore", "promote"}
	step.dataset == member.dataset
	some before in scenario.runbook
	before.action in {"restore", "promote"}
	before.dataset == earlier
	not waits(scenario.runbook, step, before.step)
	finding := {
		"at": ["scenarios", scenario_id, "runbook", number, "step"],
		"msg": sprintf("step `%s` of `%s` brings `%s` back without waiting for `%s`", [step.step, scenario_id, member.dataset, earlier]),
		"because": [["groups", id, "members", index, "after"]],
		"help": sprintf("let it depend on `%s`, by way of other steps if need be", [before.step]),
	}
}

# What breaks its own objective is told there.
told_already(dataset, loss) if {
	tier.backed_up(input.datasets[dataset])
	loss > rpo(dataset)
}

strictest(group) := min({rpo(member.dataset) | some member in group.members})

rpo(dataset) := input.datasets[dataset].rpo_s

# What nobody proved has no bound.
lost(dataset) := fact.seconds if {
	fact := object.get(input, ["facts", "datasets", dataset, "loss", "none"], {})
	fact.bounded == true
	is_number(fact.seconds)
} else := unbounded

# Runbooks are short: a few rounds reach every step that something waits for.
waits(runbook, step, wanted) if {
	one := needed(runbook, {step.step})
	two := one | needed(runbook, one)
	four := two | needed(runbook, needed(runbook, two))
	eight := four | needed(runbook, needed(runbook, needed(runbook, needed(runbook, four))))
	wanted in eight
}

needed(runbook, steps) := {other | some step in runbook; step.step in steps; some other in object.get(step, "depends_on", [])}
