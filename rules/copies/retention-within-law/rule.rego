# METADATA
# title: recovery points are kept as long as the law asks, and no longer
# description: >-
#   For each dataset, what governance says of its classification and its layer holds: some plan of it keeps points at least
#   as long as is demanded, none keeps them longer than is allowed, and under a legal hold none removes them by age.
# custom:
#   code: SW0323
#   severity: error
#   looks_at: data_retention
#   controls:
#     - NIST SP 800-53r5 SI-12
#     - NIST SP 800-53r5 AU-11
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.5.33
#     - ISO/IEC 27001:2022 A.8.10
#     - SOC 2 C1.2
#     - CIS v8 3.4
#     - AWS Backup Audit Manager BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK
#     - AWS Backup Audit Manager BACKUP_RECOVERY_POINT_MINIMUM_RETENTION_CHECK
package seawall.rules.copies.retention_within_law

import rego.v1

import data.seawall.lib.duration
import data.seawall.lib.law as laws
import data.seawall.lib.plans

day := 86400

deny contains finding if {
	some [law, id, plan_id] in governed
	limit := input.settings.data_retention[law].max_duration_s
	longest := object.get(input, ["plans", plan_id, "retention", "max_duration_s"], null)
	not at_most(longest, limit)
	finding := {
		"at": ["plans", plan_id, "retention"],
		"about": ["datasets", id],
		"msg": sprintf("plan `%s` keeps points of `%s` %s, `%s` allows %s", [plan_id, id, kept(longest), law, duration.human(limit)]),
		"because": [
			{"at": ["settings", "data_retention", law, "max_duration_s"], "label": "allowed here"},
			{"at": ["plans", plan_id, "retention", "max_duration_s"], "label": "kept this long"},
		],
		"help": "refer to a retention class with a shorter `max_duration`",
		"measure": {"seconds": counted(longest)},
	}
}

deny contains finding if {
	some id, dataset in input.datasets
	some law, rule in input.settings.data_retention
	laws.about(rule, dataset)
	rule.min_duration_s > 0
	held := [plan | some plan in plans.holding(id)]
	count(held) > 0
	reached := max([reach(plan.retention) | some plan in held])
	reached < rule.min_duration_s
	shown := [plan.plan_id | some plan in held; reach(plan.retention) == reached][0]
	finding := {
		"at": ["plans", shown, "retention"],
		"about": ["datasets", id],
		"msg": sprintf("points of `%s` are kept for %s, `%s` demands %s", [id, duration.human(reached), law, duration.human(rule.min_duration_s)]),
		"because": [{"at": ["settings", "data_retention", law, "min_duration_s"], "label": "demanded here"}],
		"help": "raise `min_duration`, or the counts of `keep`, of its retention class",
	}
}

deny contains finding if {
	some [law, id, plan_id] in governed
	input.settings.data_retention[law].legal_hold == true
	longest := input.plans[plan_id].retention.max_duration_s
	finding := {
		"at": ["plans", plan_id, "retention"],
		"about": ["datasets", id],
		"msg": sprintf("plan `%s` removes points of `%s` after %s, and `%s` holds them", [plan_id, id, duration.human(longest), law]),
		"because": [{"at": ["settings", "data_retention", law, "legal_hold"], "label": "held here"}],
		"help": "refer to a retention class with `max_duration: none` as long as the hold lasts",
	}
}

# Which plans keep data that something is said of.
governed contains [law, id, plan.plan_id] if {
	some id, dataset in input.datasets
	some law, rule in input.settings.data_retention
	laws.about(rule, dataset)
	some plan in plans.holding(id)
}

# How far back the oldest point lies once the plan has run that long; months are counted short, so that nobody is promised more.
reach(class) := min([longest, object.get(class, "max_duration_s", longest)]) if {
	longest := max([
		class.min_duration_s, class.immutable_for_s, class.keep.hourly * 3600, class.keep.daily * day,
		class.keep.weekly * (7 * day), class.keep.monthly * (28 * day), class.keep.yearly * (365 * day),
	])
}

at_most(longest, limit) if {
	is_number(longest)
	longest <= limit
}

kept(longest) := sprintf("for %s", [duration.human(longest)]) if {
	is_number(longest)
} else := "without limit"

counted(longest) := longest if {
	is_number(longest)
} else := 9007199254740991
