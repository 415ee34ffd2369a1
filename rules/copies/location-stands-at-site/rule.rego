# METADATA
# title: a location stands where its site stands
# description: >-
#   Provider, region and residency of a location are those of the site it belongs to; zone, account and credential may be its
#   own. The proofs rest on the location's domains: one copied from another location would prove a distance that is not there.
# custom:
#   code: SW0319
#   severity: error
#   looks_at: backed_up_datasets
#   controls:
#     - NIST SP 800-53r5 CP-6(1)
#     - NIST SP 800-53r5 CM-8
#     - ISO/IEC 27001:2022 A.5.9
package seawall.rules.copies.location_stands_at_site

import rego.v1

deny contains finding if {
	some id, location in input.settings.locations
	some field in [["fault_domains", "provider"], ["fault_domains", "region"], ["residency"]]
	own := object.get(location, field, "unknown")
	site := object.get(input, array.concat(["settings", "sites", location.site], field), "nothing known")
	own != site
	name := field[count(field) - 1]
	finding := {
		"at": array.concat(["settings", "locations", id], field),
		"msg": sprintf("%s of location `%s` is `%s`, of its site `%s` it is `%s`", [name, id, own, location.site, site]),
		"because": [{"at": array.concat(["settings", "sites", location.site], field), "label": "the site says"}],
		"help": "correct the one that is wrong, or name the site at which the location stands",
	}
}
