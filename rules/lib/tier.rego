# How critical a dataset is. Whatever has no readable rank counts as critical: an unknown tier is never a way out.
package seawall.lib.tier

import rego.v1

# Tiers 0 and 1, as the requirements name them.
critical(dataset) if not relaxed(dataset)

relaxed(dataset) if {
	rank := input.settings.tiers[dataset.criticality].rank
	is_number(rank)
	rank > 1
}

# Datasets that must have recovery points of their own; an unreadable eligibility counts as backed up.
backed_up(dataset) if not object.get(dataset, "eligibility", "backed_up") in {"reconstructed", "excluded"}
