# METADATA
# title: worst-case loss is within the objective, in every loss that the tier survives
# description: >-
#   For each loss that a dataset's tier survives, and for each concrete fault domain that could be lost, the proven
#   worst-case loss is bounded and at most the RPO demanded there; with all copies left it is at most the dataset's own RPO.
# custom:
#   code: SW0301
#   severity: error
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST SP 800-53r5 CP-6(2)
#     - ISO/IEC 27001:2022 A.5.30
#     - ISO 22301:2019 8.3
#     - SOC 2 A1.2
#     - CIS v8 11.2
package seawall.rules.recovery.rpo_covered

import rego.v1

import data.seawall.lib.duration
import data.seawall.lib.tier

unbounded := 9007199254740991

# One finding for a dataset and a demanded loss, however many fault domains of that kind fail: the worst one is shown.
deny contains finding if {
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	some index, demand in input.settings.tiers[dataset.criticality].survives
	broken := [fact | some fact in proofs(id, demand); not holds(fact, demand.objective.rpo_s)]
	worst := max({seconds(fact) | some fact in broken})
	shown := [fact | some fact in broken; seconds(fact) == worst][0]
	finding := {
		"at": place(id, shown.case),
		"label": cause(id, shown.case),
		"msg": sprintf("worst-case loss of `%s` %s %s, %s allows %s", [
			id, without(shown), verdict(worst), dataset.criticality, allowed(demand.objective, "rpo_s"),
		]),
		"because": [{"at": ["settings", "tiers", dataset.criticality, "survives", index, "objective"], "label": "demanded here"}],
		"notes": array.concat(witness(id, shown.case), others(demand, broken)),
		"help": help(id, shown, demand.objective.rpo_s),
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

# The dataset's own objective, which may be stricter than its tier's.
deny contains finding if {
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	fact := object.get(input, ["facts", "datasets", id, "loss", "none"], {})
	not holds(fact, dataset.rpo_s)
	finding := {
		"at": place(id, "none"),
		"label": cause(id, "none"),
		"msg": sprintf("worst-case loss of `%s` with all copies left %s, the dataset allows %s", [
			id, verdict(seconds(fact)), allowed(dataset, "rpo_s"),
		]),
		"because": [{"at": ["datasets", id, "rpo_s"], "label": "demanded here"}],
		"notes": witness(id, "none"),
		"help": help(id, object.union(fact, {"case": "none"}), dataset.rpo_s),
	}
}

proofs(id, demand) := [fact |
	some fact in object.get(input, ["facts", "datasets", id, "survives"], [])
	fact.lose == demand.lose
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

allowed(holder, field) := duration.human(holder[field]) if {
	is_number(holder[field])
} else := "nothing that can be read"

without(fact) := "with all copies left" if {
	fact.lose == "none"
} else := "after corruption" if {
	fact.lose == "corruption"
} else := sprintf("without %s", [named(fact.domain)])

named(domain) := sprintf("%s `%s`", split(domain, ":")) if {
	count(split(domain, ":")) == 2
} else := sprintf("`%v`", [domain])

# The plan that proves best is where a remedy begins; without one, the dataset itself.
place(id, case) := ["plans", plan, "backup_frequency"] if {
	plan := input.facts.datasets[id].loss[case].plan
	input.plans[plan]
} else := ["datasets", id]

cause(id, case) := sprintf("up to %s between the slots that count", [duration.human(gap)]) if {
	gap := input.facts.datasets[id].loss[case].gap_seconds
	is_number(gap)
	gap > 0
} else := "no usable copy or no key is left"

witness(id, case) := [sprintf("witness: point %s, next usable %s, failure just before it", [point, next])] if {
	point := input.facts.datasets[id].loss[case].witness.point
	next := input.facts.datasets[id].loss[case].witness.next
	is_string(point)
	is_string(next)
} else := []

others(demand, broken) := [sprintf("%d more of kind %s exceed it too", [count(broken) - 1, demand.lose])] if {
	count(broken) > 1
} else := []

# What the gap between slots would have to be for everything else as it is.
help(id, fact, rpo) := sprintf("slots that count at most %s apart would meet it", [duration.human(gap - (fact.seconds - rpo))]) if {
	told_in_full(fact)
	is_number(rpo)
	gap := input.facts.datasets[id].loss[fact.case].gap_seconds
	gap > fact.seconds - rpo
} else := "shorten the completion window or the copy lag of the plan; no schedule alone can meet it" if {
	told_in_full(fact)
} else := "keep a copy, and the custody of its key, outside of what is lost"

told_in_full(fact) if {
	fact.bounded == true
	is_number(fact.seconds)
}
