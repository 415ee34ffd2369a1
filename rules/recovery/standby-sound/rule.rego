# METADATA
# title: a standby is one that can be failed over to
# description: >-
#   A standby follows the site where its dataset lives, stands in another zone and where the data may reside, and lies no
#   further behind than the dataset may lose. A scenario that fails over has a standby for each of its datasets.
# custom:
#   code: SW0321
#   severity: error
#   looks_at: standbys
#   controls:
#     - NIST SP 800-53r5 CP-7
#     - NIST SP 800-53r5 CP-7(1)
#     - NIST SP 800-53r5 CP-10
#     - NIST SP 800-34r1 3.4.3
#     - ISO/IEC 27001:2022 A.8.14
#     - ISO 22301:2019 8.3.2
#     - SOC 2 A1.2
package seawall.rules.recovery.standby_sound

import rego.v1

import data.seawall.lib.duration

deny contains finding if {
	some id, standby in input.standbys
	dataset := object.get(input, ["datasets", standby.dataset], {})
	object.get(dataset, "site", "nowhere") != standby.primary
	finding := {
		"at": ["standbys", id, "primary"],
		"msg": sprintf("standby `%s` follows `%s`, its dataset `%s` lives at `%s`", [
			id, standby.primary, standby.dataset, object.get(dataset, "site", "nowhere"),
		]),
		"because": [["datasets", standby.dataset, "site"]],
		"help": "name the site of the dataset",
	}
}

deny contains finding if {
	some id, standby in input.standbys
	not elsewhere(standby)
	finding := {
		"at": ["standbys", id, "standby"],
		"msg": sprintf("standby `%s` falls with its primary: both stand in one zone", [id]),
		"because": [["settings", "sites", standby.standby, "fault_domains", "zone"]],
		"help": "run it at a site in another zone, better in another region",
	}
}

deny contains finding if {
	some id, standby in input.standbys
	resides := object.get(input, ["settings", "sites", standby.standby, "residency"], "nowhere")
	not resides in object.get(input, ["datasets", standby.dataset, "residency"], [])
	finding := {
		"at": ["standbys", id, "standby"],
		"msg": sprintf("standby `%s` resides in `%s`, where `%s` may not", [id, resides, standby.dataset]),
		"because": [["datasets", standby.dataset, "residency"]],
		"help": "run it where the data may reside",
	}
}

deny contains finding if {
	some id, standby in input.standbys
	rpo := object.get(input, ["datasets", standby.dataset, "rpo_s"], null)
	not within(standby.lag_limit_s, rpo)
	finding := {
		"at": ["standbys", id, "lag_limit_s"],
		"msg": sprintf("standby `%s` may lie %s behind, `%s` may lose %s", [
			id, duration.human(standby.lag_limit_s), standby.dataset, allowed(rpo),
		]),
		"because": [["datasets", standby.dataset, "rpo_s"]],
		"help": "write a shorter `lag_limit`: beyond it nobody fails over",
		"measure": {"seconds": standby.lag_limit_s},
	}
}

deny contains finding if {
	some id, scenario in input.scenarios
	scenario.strategy == "failover_to_standby"
	some dataset in scenario.datasets
	not dataset in followed
	finding := {
		"at": ["scenarios", id, "strategy"],
		"about": ["datasets", dataset],
		"msg": sprintf("scenario `%s` fails over, and `%s` has no standby", [id, dataset]),
		"because": [["scenarios", id, "datasets"]],
		"help": "add a Standby of the dataset, or restore it in a scenario of its own",
	}
}

followed contains standby.dataset if some standby in input.standbys

# A site that nobody knows is no other zone.
elsewhere(standby) if zone(standby.primary) != zone(standby.standby)

zone(site) := input.settings.sites[site].fault_domains.zone

within(lag, rpo) if {
	is_number(lag)
	is_number(rpo)
	lag <= rpo
}

allowed(rpo) := duration.human(rpo) if {
	is_number(rpo)
} else := "nothing that can be read"
