# METADATA
# title: policy numbers are referred to, never written in place
# description: >-
#   Frequencies, objectives and retention of plans, datasets, scenarios and tiers are references to settings
#   (`gsmd:<collection>/<id>…`). A number in place escapes the review of its owner, and no override reaches it.
# custom:
#   code: SW0303
#   severity: error
#   looks_at: datasets
#   controls:
#     - NIST SP 800-53r5 CM-6
#     - NIST SP 800-53r5 CM-2
#     - ISO/IEC 27001:2022 A.8.9
#     - SOC 2 CC8.1
package seawall.rules.governance.no_hard_coded_values

import rego.v1

# Fields of each collection: `true` where the document must have it.
fields := {
	"plans": {"backup_frequency": true, "full_frequency": false, "retention": true, "target_rpo": false, "target_rto": false},
	"datasets": {"rpo": true, "rto": true},
	"scenarios": {"objective": true},
}

deny contains finding if {
	some collection, known in fields
	some id, _ in input[collection]
	some field, required in known
	written := object.get(input, ["written", collection, id, field], null)
	wrong(written, required)
	finding := {
		"at": [collection, id, field],
		"label": "written in place",
		"msg": sprintf("`%s` of `%s` is %s", [field, id, told(written)]),
		"help": help(field),
	}
}

deny contains finding if {
	some id, tier in input.settings.tiers
	some index, _ in tier.survives
	written := object.get(input, ["written", "settings", "tiers", id, "survives", index, "objective"], null)
	wrong(written, true)
	finding := {
		"at": ["settings", "tiers", id, "survives", index, "objective"],
		"label": "written in place",
		"msg": sprintf("`objective` of `%s` is %s", [id, told(written)]),
		"help": help("objective"),
	}
}

wrong(written, required) if {
	not reference(written)
	not left_out(written, required)
}

# How a field was written is unknown only where it may be left out.
left_out(written, false) if is_null(written)

reference(written) if {
	is_string(written)
	startswith(written, "gsmd:")
}

told(written) := sprintf("`%s`, no reference", [written]) if {
	is_string(written)
} else := "not told, so nobody can say that it is a reference" if {
	is_null(written)
} else := "written in place, no reference"

collections := {
	"backup_frequency": "schedules/<id>",
	"full_frequency": "schedules/<id>",
	"retention": "retention/<id>",
	"objective": "objectives/<id>",
	"rpo": "objectives/<id>/rpo",
	"target_rpo": "objectives/<id>/rpo",
	"rto": "objectives/<id>/rto",
	"target_rto": "objectives/<id>/rto",
}

help(field) := sprintf("put the value into a settings document and write `gsmd:%s` here", [collections[field]])
