# METADATA
# title: worst-case loss is within the objective, in every loss that the tier survives
# description: >-
#   For each loss that a dataset's tier survives, and for each concrete fault domain that could be lost, the proven
#   worst-case loss is bounded and at most the RPO demanded there; with all copies left it is at most the dataset's own RPO.
# custom:
#   code: SW0301
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST SP 800-53r5 CP-9(5)
#     - NIST SP 800-53r5 CP-6(2)
#     - NIST SP 800-34r1 3.4.1
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.5.30
#     - ISO/IEC 27001:2022 A.8.13
#     - ISO 22301:2019 8.3
#     - SOC 2 A1.2
#     - CIS v8 11.2
#     - DORA 12(1)(a)
#     - DORA 12(6)
#     - AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_BACKUP_PLAN
#     - AWS Backup Audit Manager BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK
package seawall.rules.recovery.rpo_covered

import rego.v1

import data.seawall.lib.duration
import data.seawall.lib.tier

unbounded := 9007199254740991

# One finding for a dataset and a place to change. What the tier demands first is shown, the rest is listed below it.
deny contains finding if {
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	found := broken(id, dataset)
	some spot in {demand.at | some demand in found}
	here := [demand | some demand in found; demand.at == spot]
	shown := here[0]
	finding := {
		"at": spot,
		"about": ["datasets", id],
		"cause": cause(id, shown),
		"label": label(id, shown.fact.case),
		"msg": sprintf("worst-case loss of `%s` %s %s, %s allows %s", [
			id, without(shown.fact), verdict(shown.seconds), shown.who, allowed(shown.rpo),
		]),
		"because": array.concat([{"at": shown.because, "label": "demanded here"}], slots(spot)),
		"notes": array.concat(array.concat(witness(id, shown.fact.case), others(shown)), also(here)),
		"help": help(id, here),
		"measure": {"seconds": max([demand.seconds | some demand in here])},
	}
}

# No proof at all is never a pass.
deny contains finding if {
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	some index, demand in input.settings.tiers[dataset.criticality].survives
	count(proofs(id, demand)) == 0
	finding := {
		"at": ["datasets", id],
		"msg": sprintf("nothing proves what `%s` loses, and %s must survive it (`lose: %s`)", [id, dataset.criticality, demand.lose]),
		"because": [["settings", "tiers", dataset.criticality, "survives", index]],
		"help": "give the dataset a plan whose locations can be judged",
	}
}

deny contains finding if {
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	count(object.get(input, ["settings", "tiers", dataset.criticality, "survives"], [])) == 0
	finding := {
		"at": ["datasets", id, "criticality"],
		"msg": sprintf("`%s` is backed up, but its tier survives no loss", [id]),
		"help": "write at least `lose: none` in the tier's `survives`",
	}
}

# The demands that are not met: those of the tier in their order, each with the worst domain of its kind, and then the
# dataset's own, which may be stricter.
broken(id, dataset) := array.concat(
	[demand |
		some index, survival in input.settings.tiers[dataset.criticality].survives
		rpo := object.get(survival, ["objective", "rpo_s"], null)
		exceeded := [fact | some fact in proofs(id, survival); not holds(fact, rpo)]
		worst := max({seconds(fact) | some fact in exceeded})
		shown := [fact | some fact in exceeded; seconds(fact) == worst][0]
		because := ["settings", "tiers", dataset.criticality, "survives", index, "objective"]
		demand := object.union(
			demanded(id, shown, rpo, because),
			{"who": dataset.criticality, "others": count(exceeded) - 1},
		)
	],
	[demand |
		fact := object.union(object.get(input, ["facts", "datasets", id, "loss", "none"], {}), {"case": "none", "lose": "none"})
		rpo := object.get(dataset, "rpo_s", null)
		not holds(fact, rpo)
		demand := object.union(demanded(id, fact, rpo, ["datasets", id, "rpo_s"]), {"who": "the dataset", "others": 0})
	],
)

demanded(id, fact, rpo, because) := {
	"fact": fact, "seconds": seconds(fact), "rpo": rpo, "because": because,
	"at": place(id, object.get(fact, "case", "none")),
}

proofs(id, survival) := [fact |
	some fact in object.get(input, ["facts", "datasets", id, "survives"], [])
	fact.lose == survival.lose
]

# `null` sorts below every number, so a comparison alone would let an absent fact pass.
holds(fact, rpo) if {
	fact.bounded == true
	is_number(fact.seconds)
	is_number(rpo)
	fact.seconds <= rpo
}

seconds(fact) := fact.seconds if {
	is_number(fact.seconds)
	fact.bounded == true
} else := unbounded

verdict(loss) := "has no bound" if {
	loss >= unbounded
} else := sprintf("is %s", [duration.human(loss)])

allowed(rpo) := duration.human(rpo) if {
	is_number(rpo)
} else := "nothing that can be read"

without(fact) := "with all copies left" if {
	fact.lose == "none"
} else := "after corruption" if {
	fact.lose == "corruption"
} else := sprintf("without %s", [named(fact.domain)])

named(domain) := sprintf("%s `%s`", split(domain, ":")) if {
	count(split(domain, ":")) == 2
} else := sprintf("`%v`", [domain])

# The plan that proves best is where a remedy begins, at what keeps it from proving more; without one, the dataset itself.
place(id, case) := ["plans", plan, field(fact)] if {
	fact := input.facts.datasets[id].loss[case]
	plan := fact.plan
	input.plans[plan]
} else := ["datasets", id]

field(fact) := "encryption_key_ref" if {
	fact.why == "key_lost"
} else := "storage_profiles" if {
	fact.why in {"no_survivor", "commit_above_locations"}
} else := "retention" if {
	fact.why == "nothing_kept"
} else := "backup_frequency"

# Where a key is kept is one cause, however many plans it seals.
cause(id, demand) := ["settings", "keys", kid, held(kid, demand)] if {
	input.facts.datasets[id].loss[demand.fact.case].why == "key_lost"
	kid := input.plans[demand.at[1]].encryption_key_ref
	input.settings.keys[kid]
} else := demand.at

# A key that data holds is lost with that data, unless what is lost is where the key itself is kept.
held(kid, demand) := "kept_in" if {
	input.settings.keys[kid].kept_in
	not input.settings.keys[kid].custody in split(demand.fact.case, ",")
} else := "custody"

label(id, case) := trim_prefix(input.facts.datasets[id].loss[case].told, "unbounded: ") if {
	input.facts.datasets[id].loss[case].bounded == false
} else := sprintf("up to %s between the slots that count%s", [duration.human(gap), missed]) if {
	gap := input.facts.datasets[id].loss[case].gap_seconds
	is_number(gap)
	gap > 0
	missed := {true: sprintf(", %d missed", [misses(id, case)]), false: ""}[misses(id, case) > 0]
} else := "no usable copy or no key is left"

# A schedule is referred to, and an environment may override it: the line that counts is where the number was written.
slots(spot) := [{"at": array.concat(spot, [way]), "label": "slots are set here"} |
	spot[2] == "backup_frequency"
	some way in ["cron", "every_s", "continuous"]
	input.plans[spot[1]].backup_frequency[way]
]

witness(id, case) := [sprintf("witness: point %s, next usable %s, failure just before", [minute(point), minute(next)])] if {
	point := input.facts.datasets[id].loss[case].witness.point
	next := input.facts.datasets[id].loss[case].witness.next
	is_string(point)
	is_string(next)
} else := []

# `2027-03-08T02:00:00+01:00` as `2027-03-08T02:00+01:00`: the line should fit a screen.
minute(instant) := concat("", [substring(instant, 0, 16), substring(instant, 19, -1)]) if {
	substring(instant, 16, 3) == ":00"
} else := instant

others(demand) := [sprintf("%d more of kind %s exceed it too", [demand.others, demand.fact.lose])] if {
	demand.others > 0
} else := []

# What else is exceeded here, one line for each loss and limit.
also(here) := [sprintf("also `lose: %s`: %s, %s allowed", [concat(", ", kinds), duration.human(pair[0]), allowed(pair[1])]) |
	some pair in {[demand.seconds, demand.rpo] | some demand in here}
	told := {demand.fact.lose | some demand in [here[0]]; [demand.seconds, demand.rpo] == pair}
	kinds := [demand.fact.lose |
		some index, demand in here
		[demand.seconds, demand.rpo] == pair
		not demand.fact.lose in told
		not repeated(here, index)
	]
	count(kinds) > 0
]

# The dataset's own objective is most often the first one of its tier.
repeated(here, index) if {
	some before in array.slice(here, 0, index)
	before.fact.lose == here[index].fact.lose
	before.rpo == here[index].rpo
}

# What the gap between slots would have to be for everything else as it is, so that every demand is met.
help(id, here) := sprintf("slots at most %s apart would meet it%s", [duration.human(apart), missed]) if {
	widest := min({left(id, demand) | some demand in here})
	count([demand | some demand in here; is_number(left(id, demand))]) == count(here)
	tolerated := misses(id, here[0].fact.case)
	apart := floor(widest / (tolerated + 1))
	apart > 0
	missed := {true: sprintf(", with %d missed in a row", [tolerated]), false: ""}[tolerated > 0]
} else := "take a schedule with shorter gaps and windows, or shorten the profile's `copy_within`" if {
	every demand in here {
		told_in_full(demand.fact)
	}
} else := "keep a copy, and the custody of its key, outside of what is lost"

# How many slots in a row the schedule of the plan that proves best may miss.
misses(id, case) := number if {
	number := input.plans[input.facts.datasets[id].loss[case].plan].backup_frequency.tolerated_misses
	is_number(number)
} else := 0

left(id, demand) := gap - (demand.seconds - demand.rpo) if {
	told_in_full(demand.fact)
	is_number(demand.rpo)
	gap := input.facts.datasets[id].loss[demand.fact.case].gap_seconds
	is_number(gap)
}

told_in_full(fact) if {
	fact.bounded == true
	is_number(fact.seconds)
}
