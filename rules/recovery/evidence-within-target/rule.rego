# METADATA
# title: receipts show no loss and no time above the target
# description: >-
#   Where receipts are given, at no time that they tell of would a failure have taken more of a dataset than its RPO, and no drill of
#   a scenario took longer than its RTO. How long restores took is judged by `rto-feasible`.
# custom:
#   code: SW0328
#   severity: error
#   looks_at: evidence
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST SP 800-53r5 CP-10
#     - NIST SP 800-34r1 3.4.1
#     - ISO 22301:2019 8.6
#     - ISO/IEC 27001:2022 A.8.13
#     - SOC 2 A1.2
#     - CIS v8 11.2
#     - DORA 12(6)
#     - AWS Backup Audit Manager BACKUP_LAST_RECOVERY_POINT_CREATED
package seawall.rules.recovery.evidence_within_target

import rego.v1

import data.seawall.lib.duration

deny contains finding if {
	some id, fact in input.facts.datasets
	loss := fact.evidence.largest_loss
	is_object(loss)
	not within(loss.seconds, input.datasets[id].rpo_s)
	finding := {
		"at": ["datasets", id, "dataset_id"],
		"msg": sprintf("a failure would have taken %s of `%s`, the dataset allows %s", [shown(loss.seconds), id, shown(input.datasets[id].rpo_s)]),
		"because": [{"at": ["datasets", id, "rpo_s"], "label": "allowed here"}],
		"notes": [sprintf("receipts show: newest point of %s, failure just before %s", [loss.point, loss.failure_before])],
		"help": "look at `seawalld slots` why points came late; what policy promises must hold in fact",
		"measure": {"seconds": measured(loss.seconds)},
	}
}

deny contains finding if {
	some id, fact in input.facts.scenarios
	drilled := fact.evidence.drilled
	is_object(drilled)
	is_number(drilled.seconds)
	rto := input.scenarios[id].objective.rto_s
	not within(drilled.seconds, rto)
	finding := {
		"at": ["scenarios", id, "scenario_id"],
		"msg": sprintf("the last drill of `%s` took %s, the scenario allows %s", [id, shown(drilled.seconds), shown(rto)]),
		"because": [{"at": ["scenarios", id, "objective", "rto_s"], "label": "allowed here"}],
		"help": "shorten the runbook, or agree on another objective",
		"measure": {"seconds": drilled.seconds},
	}
}

within(seconds, target) if {
	is_number(seconds)
	is_number(target)
	seconds <= target
}

shown(seconds) := duration.human(seconds) if {
	is_number(seconds)
} else := "an unknown time"

# An unknown time has no bound, so no waiver accepts it.
measured(seconds) := seconds if {
	is_number(seconds)
} else := 9007199254740991
