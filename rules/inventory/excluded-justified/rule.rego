# METADATA
# title: what is not backed up can do without
# description: >-
#   A dataset that is excluded is of tier 2 or lower and says why in words. A dataset that is reconstructed is derived from
#   others that are themselves backed up: a chain of reconstructions is as slow as all of it.
# custom:
#   code: SW0313
#   severity: error
#   looks_at: datasets_not_backed_up
#   controls:
#     - NIST SP 800-53r5 CP-9
#     - NIST SP 800-53r5 RA-3
#     - NIST SP 800-34r1 3.2.1
#     - NIST CSF 2.0 PR.DS-11
#     - ISO/IEC 27001:2022 A.8.13
#     - ISO 22301:2019 8.2.2
#     - DORA 12(1)(a)
#     - AWS Backup Audit Manager BACKUP_RESOURCES_PROTECTED_BY_BACKUP_PLAN
package seawall.rules.inventory.excluded_justified

import rego.v1

import data.seawall.lib.tier

# Two words are a label, not a reason.
fewest_words := 4

deny contains finding if {
	some id, dataset in input.datasets
	dataset.eligibility == "excluded"
	tier.critical(dataset)
	finding := {
		"at": ["datasets", id, "eligibility"],
		"msg": sprintf("`%s` is %s and excluded from backup", [id, dataset.criticality]),
		"because": [["datasets", id, "criticality"]],
		"help": "back it up, or lower its tier if it really can be missed",
	}
}

deny contains finding if {
	some id, dataset in input.datasets
	dataset.eligibility == "excluded"
	reason := object.get(dataset, "justification", "")
	words := [word | some word in split(reason, " "); word != ""]
	count(words) < fewest_words
	finding := {
		"at": ["datasets", id, "justification"],
		"msg": sprintf("the justification of `%s` gives no reason", [id]),
		"help": "say in a sentence why nobody misses the data, or from where it comes back",
	}
}

deny contains finding if {
	some id, dataset in input.datasets
	dataset.eligibility == "reconstructed"
	some source in dataset.derived_from
	eligibility := object.get(input, ["datasets", source, "eligibility"], "unknown")
	eligibility != "backed_up"
	finding := {
		"at": ["datasets", id, "derived_from"],
		"msg": sprintf("`%s` is reconstructed from `%s`, whose eligibility is `%s`", [id, source, eligibility]),
		"because": [["datasets", source, "eligibility"]],
		"help": "name the datasets that are backed up at the end of the chain, or back it up itself",
	}
}

deny contains finding if {
	some id, dataset in input.datasets
	dataset.eligibility == "reconstructed"
	count(object.get(dataset, "derived_from", [])) == 0
	finding := {
		"at": ["datasets", id, "eligibility"],
		"msg": sprintf("`%s` is reconstructed from nothing", [id]),
		"help": "name in `derived_from` what it is rebuilt from",
	}
}
