# METADATA
# title: a plan's key is known and outlives the bundle
# description: >-
#   The key of every plan stands in the settings and may still seal at the end of the bundle's validity: a bundle that is
#   fresh must never name a key that is not.
# custom:
#   code: SW0306
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 SC-12
#     - NIST SP 800-53r5 CP-9(8)
#     - NIST CSF 2.0 PR.DS-01
#     - ISO/IEC 27001:2022 A.8.24
#     - SOC 2 CC6.1
#     - CIS v8 3.11
#     - CIS v8 11.3
#     - AWS Backup Audit Manager BACKUP_RECOVERY_POINT_ENCRYPTED
package seawall.rules.keys.key_known_and_in_time

import rego.v1

import data.seawall.lib.instant

deny contains finding if {
	some id, plan in input.plans
	kid := object.get(plan, "encryption_key_ref", "none")
	not input.settings.keys[kid]
	finding := {
		"at": ["plans", id, "encryption_key_ref"],
		"msg": sprintf("key `%s` of plan `%s` is not known", [kid, id]),
		"help": "add a Key document with this kid, or refer to one that exists",
	}
}

deny contains finding if {
	some id, plan in input.plans
	key := input.settings.keys[plan.encryption_key_ref]
	not in_time(key)
	finding := {
		"at": ["plans", id, "encryption_key_ref"],
		"msg": sprintf("key `%s` of plan `%s` may seal until %v, which is before a bundle made now ends", [
			plan.encryption_key_ref, id, object.get(key, "not_after", "an unknown instant"),
		]),
		"because": [
			{"at": ["settings", "keys", plan.encryption_key_ref, "not_after"], "label": "it ends here"},
			{"at": ["environment", "bundle_validity_s"], "label": "a bundle is valid this long"},
		],
		"help": "refer to a newer key: the plan then starts a repository sealed with it, and the old one ages out",
	}
}

in_time(key) if {
	ends := instant.unix(key.not_after)
	is_number(input.at)
	is_number(input.environment.bundle_validity_s)
	ends >= input.at + input.environment.bundle_validity_s
}
