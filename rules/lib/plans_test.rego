package seawall.lib.plans_test

import rego.v1

import data.seawall.lib.plans

tree := {"plans": {
	"bp_a": {"plan_id": "bp_a", "dataset_ids": ["ds_one", "ds_two"]},
	"bp_b": {"plan_id": "bp_b", "dataset_ids": ["ds_two"]},
}}

test_each_dataset_has_the_plans_that_name_it if {
	plans.of == {"ds_one": {"bp_a"}, "ds_two": {"bp_a", "bp_b"}} with input as tree
	count(plans.holding("ds_two")) == 2 with input as tree
}

test_a_dataset_that_no_plan_names_has_none if {
	plans.holding("ds_three") == [] with input as tree
}
