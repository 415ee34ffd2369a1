# METADATA
# title: a runbook can be carried out, in order and in time
# description: >-
#   Step ids are unique, dependencies name steps of the runbook and never lead in a circle, every dataset of the scenario is
#   brought back, something is checked afterwards, the longest chain of deadlines ends within the scenario's RTO, and each restore
#   finds a readable copy and has the time that reading it takes.
# custom:
#   code: SW0310
#   severity: error
#   looks_at: scenarios
#   controls:
#     - NIST SP 800-53r5 CP-2
#     - NIST SP 800-53r5 CP-10
#     - NIST SP 800-34r1 4.3.1
#     - NIST SP 800-34r1 4.3.2
#     - NIST CSF 2.0 RC.RP-02
#     - NIST CSF 2.0 RC.RP-05
#     - ISO 22301:2019 8.4.4
#     - ISO/IEC 27001:2022 A.5.30
#     - SOC 2 A1.3
#     - CIS v8 11.1
#     - DORA 12(1)(b)
#     - DORA 12(7)
package seawall.rules.scenarios.runbook_sound

import rego.v1

import data.seawall.lib.duration

# Actions that bring a dataset back; for a reconstructed one, the command that rebuilds it.
brings_back := {"restore", "promote", "command"}

checks := {"sql_check", "http_check", "manual_confirmation"}

deny contains finding if {
	some id, scenario in input.scenarios
	count(runbook(scenario)) == 0
	finding := {
		"at": ["scenarios", id, "runbook"],
		"msg": sprintf("scenario `%s` has no runbook", [id]),
		"help": "write the steps, each with its deadline",
	}
}

deny contains finding if {
	some id, scenario in input.scenarios
	some index, step in runbook(scenario)
	some earlier, other in runbook(scenario)
	earlier < index
	other.step == step.step
	finding := {
		"at": ["scenarios", id, "runbook", index, "step"],
		"msg": sprintf("runbook of `%s` has two steps `%s`", [id, step.step]),
		"because": [{"at": ["scenarios", id, "runbook", earlier, "step"], "label": "the first"}],
		"help": "give each step an id of its own",
	}
}

deny contains finding if {
	some id, scenario in input.scenarios
	some index, step in runbook(scenario)
	some needed in step.depends_on
	not needed in {other.step | some other in runbook(scenario)}
	finding := {
		"at": ["scenarios", id, "runbook", index, "depends_on"],
		"msg": sprintf("step `%s` of `%s` waits for `%s`, which is no step", [step.step, id, needed]),
		"help": sprintf("steps are %s", [concat(", ", [sprintf("`%s`", [other.step]) | some other in runbook(scenario)])]),
	}
}

deny contains finding if {
	some id, _ in input.scenarios
	circle := course(id).circle
	count(circle) > 0
	finding := {
		"at": ["scenarios", id, "runbook"],
		"msg": sprintf("steps of `%s` wait for each other: %s, and so on for ever", [id, concat(" waits for ", array.concat(circle, [circle[0]]))]),
		"help": "remove one of the dependencies of the circle",
	}
}

deny contains finding if {
	some id, scenario in input.scenarios
	some dataset in scenario.datasets
	not brought_back(scenario, dataset)
	finding := {
		"at": ["scenarios", id, "datasets"],
		"msg": sprintf("no step of the runbook of `%s` brings `%s` back", [id, dataset]),
		"because": [["scenarios", id, "runbook"]],
		"help": "add a step with `action: restore` and this dataset; a restore without a dataset stands for all of the scenario",
	}
}

deny contains finding if {
	some id, scenario in input.scenarios
	some index, step in runbook(scenario)
	dataset := step.dataset
	not dataset in scenario.datasets
	finding := {
		"at": ["scenarios", id, "runbook", index, "dataset"],
		"msg": sprintf("step `%s` of `%s` acts on `%s`, which the scenario does not name", [step.step, id, dataset]),
		"because": [["scenarios", id, "datasets"]],
		"help": "add the dataset to the scenario, or correct the step",
	}
}

# A restore without a dataset stands for all of the scenario. Beside others that name theirs it would hide a forgotten one.
deny contains finding if {
	some id, scenario in input.scenarios
	some index, step in runbook(scenario)
	step.action == "restore"
	not step.dataset
	some other in runbook(scenario)
	other.action == "restore"
	other.dataset
	finding := {
		"at": ["scenarios", id, "runbook", index],
		"msg": sprintf("step `%s` of `%s` restores all of the scenario, other steps one dataset each", [step.step, id]),
		"help": "give the step its `dataset`, or let one restore without a dataset stand for all",
	}
}

# A restore that nobody looks at is not known to have worked.
deny contains finding if {
	some id, scenario in input.scenarios
	count(runbook(scenario)) > 0
	count([step |
		some step in runbook(scenario)
		step.action in checks
		some restore in runbook(scenario)
		restore.step in step.depends_on
		restore.action in brings_back
	]) == 0
	finding := {
		"at": ["scenarios", id, "runbook"],
		"msg": sprintf("nothing is checked after the restores of `%s`", [id]),
		"help": "add an `sql_check`, an `http_check` or a `manual_confirmation` that depends on one of them",
	}
}

# A circle is told above; it has no length.
deny contains finding if {
	some id, scenario in input.scenarios
	count(object.get(course(id), "circle", [])) == 0
	not in_time(scenario, course(id))
	finding := {
		"at": ["scenarios", id, "objective"],
		"label": "demanded here",
		"msg": sprintf("the runbook of `%s` takes %s, its objective allows %s", [id, told(course(id), "seconds"), told(object.get(scenario, "objective", {}), "rto_s")]),
		"because": [{"at": ["scenarios", id, "runbook"], "label": sprintf("longest chain: %s", [concat(", ", object.get(course(id), "chain", []))])}],
		"help": "shorten deadlines, or let steps run beside each other",
		"measure": {"seconds": measured(course(id))},
	}
}

# Others may read from the same location at the same time; alone is what it takes when nobody does.
deny contains finding if {
	some id, scenario in input.scenarios
	some slow in course(id).slow
	some index, step in runbook(scenario)
	step.step == slow.step
	finding := {
		"at": ["scenarios", id, "runbook", index, "deadline_s"],
		"label": "allowed here",
		"msg": sprintf("step `%s` of `%s` has %s, reading `%s` back takes %s", [step.step, id, duration.human(slow.deadline_seconds), step.dataset, duration.human(slow.shared_seconds)]),
		"because": [{"at": ["datasets", step.dataset, "sizing", "size_bytes"], "label": "this much is read"}],
		"notes": [sprintf("beside all restores that may run at the same time; alone it takes %s", [duration.human(slow.alone_seconds)])],
		"help": "give the step more time, let restores from one location wait for each other, or choose a storage profile with a higher restore throughput",
		"measure": {"seconds": slow.shared_seconds},
	}
}

deny contains finding if {
	some id, scenario in input.scenarios
	some unreadable in course(id).unreadable
	some index, step in runbook(scenario)
	step.step == unreadable
	finding := {
		"at": ["scenarios", id, "runbook", index, "dataset"],
		"msg": sprintf("step `%s` of `%s` restores `%s`, of which the scenario leaves nothing that can be read", [step.step, id, step.dataset]),
		"because": [{"at": ["scenarios", id, "losses"], "label": "this is lost"}],
		"help": "give the dataset a plan with a copy and a key outside of these losses, or take it out of the scenario",
	}
}

# Without them nobody knows what the restores take.
deny contains finding if {
	some id, _ in input.scenarios
	fact := course(id)
	fact.seconds
	not restores_proven(fact)
	finding := {
		"at": ["scenarios", id, "runbook"],
		"msg": sprintf("what the restores of `%s` take is not known", [id]),
		"help": "correct what the compiler says of its datasets and plans",
	}
}

restores_proven(fact) if {
	is_array(fact.slow)
	is_array(fact.unreadable)
}

runbook(scenario) := object.get(scenario, "runbook", [])

# How long the runbook takes when every step takes as long as it may, as the compiler proved it.
course(id) := object.get(input, ["facts", "scenarios", id], {})

brought_back(scenario, dataset) if {
	some step in runbook(scenario)
	step.action in brings_back
	step.dataset == dataset
}

brought_back(scenario, _) if {
	some step in runbook(scenario)
	step.action == "restore"
	not step.dataset
}

in_time(scenario, fact) if {
	fact.bounded == true
	is_number(fact.seconds)
	is_number(scenario.objective.rto_s)
	fact.seconds <= scenario.objective.rto_s
}

# A course that nobody can tell has no bound, so no waiver accepts it.
measured(fact) := fact.seconds if {
	fact.bounded == true
	is_number(fact.seconds)
} else := 9007199254740991

told(holder, field) := duration.human(holder[field]) if {
	is_number(holder[field])
} else := "an unknown time"
