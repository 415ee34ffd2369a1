# METADATA
# title: governance says of all data how long their recovery points are kept
# description: >-
#   Once governance speaks of any data, each dataset that is backed up is meant by a DataRetention. What nobody speaks of is
#   kept as long as its plan happens to keep it, and no minimum holds for it.
# custom:
#   code: SW0326
#   severity: error
#   looks_at: data_retention
#   controls:
#     - NIST SP 800-53r5 SI-12
#     - ISO/IEC 27001:2022 A.5.33
#     - SOC 2 C1.2
#     - CIS v8 3.4
#     - AWS Backup Audit Manager BACKUP_RECOVERY_POINT_MINIMUM_RETENTION_CHECK
package seawall.rules.copies.retention_governed

import rego.v1

import data.seawall.lib.law
import data.seawall.lib.tier

deny contains finding if {
	count(input.settings.data_retention) > 0
	some id, dataset in input.datasets
	tier.backed_up(dataset)
	not governed(dataset)
	finding := {
		"at": ["datasets", id, "data_classification"],
		"about": ["datasets", id],
		"label": "of this class nothing is said",
		"msg": sprintf("nothing says how long recovery points of `%s` must and may be kept", [id]),
		"help": "add a DataRetention for its classification, or classify it as data that one speaks of",
	}
}

governed(dataset) if {
	some rule in input.settings.data_retention
	law.about(rule, dataset)
}
