# METADATA
# title: a dataset can be read back within its objective
# description: >-
#   The time to read a dataset back, from its size and the throughput of its storage profiles, is at most the dataset's
#   RTO and what its tier demands for the loss of the live data.
# custom:
#   code: SW0315
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 CP-10
#     - NIST SP 800-53r5 CP-10(4)
#     - NIST SP 800-53r5 CP-6(2)
#     - NIST SP 800-34r1 3.4.1
#     - ISO/IEC 27001:2022 A.5.30
#     - SOC 2 A1.2
#     - DORA 12(6)
#     - AWS Backup Audit Manager RESTORE_TIME_FOR_RESOURCES_MEET_TARGET
package seawall.rules.recovery.rto_feasible

import rego.v1

import data.seawall.lib.duration
import data.seawall.lib.tier

deny contains finding if {
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	fact := object.get(input, ["facts", "datasets", id], {})
	not within(fact, dataset.rto_s)
	finding := {
		"at": ["datasets", id, "rto_s"],
		"label": "allowed here",
		"msg": sprintf("reading `%s` back takes %s, the dataset allows %s", [id, told(fact), shown(dataset)]),
		"because": [{"at": ["datasets", id, "sizing", "size_bytes"], "label": "this much is read"}],
		"help": help(fact),
		"measure": {"seconds": measured(fact)},
	}
}

within(fact, rto) if {
	is_number(fact.recovery_seconds)
	is_number(rto)
	fact.recovery_seconds <= rto
}

help(fact) := "nothing is read without its key, which is lost with the live data: keep the key elsewhere" if {
	fact.loss.none.why == "key_lost"
} else := "give its plan a storage profile with a higher restore throughput, or split the dataset"

# An unknown time has no bound, so no waiver accepts it.
measured(fact) := fact.recovery_seconds if {
	is_number(fact.recovery_seconds)
} else := 9007199254740991

told(fact) := duration.human(fact.recovery_seconds) if {
	is_number(fact.recovery_seconds)
} else := "an unknown time"

shown(dataset) := duration.human(dataset.rto_s) if {
	is_number(dataset.rto_s)
} else := "nothing that can be read"
