# Which plans hold a dataset. Gathered once, because a walk over all plans for each dataset grows with the square of the tree.
package seawall.lib.plans

import rego.v1

of[dataset_id] contains plan_id if {
	some plan_id, plan in input.plans
	some dataset_id in plan.dataset_ids
}

# The plans of a dataset themselves.
holding(dataset_id) := [input.plans[plan_id] | some plan_id in of[dataset_id]]
