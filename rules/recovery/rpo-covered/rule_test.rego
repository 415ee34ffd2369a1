package seawall.rules.recovery.rpo_covered_test

import rego.v1

import data.seawall.rules.recovery.rpo_covered

fact(seconds) := {"lose": "region", "domain": "region:west", "case": "region:west", "seconds": seconds, "bounded": true}

tree(survives, own) := {
	"datasets": {"d": {"criticality": "t", "eligibility": "backed_up", "rpo_s": 3600}},
	"plans": {"p": {}},
	"settings": {"tiers": {"t": {"survives": [{"lose": "region", "objective": {"rpo_s": 3600}}]}}},
	"facts": {"datasets": {"d": {
		"survives": survives,
		"loss": {
			"none": {"seconds": own, "bounded": true, "gap_seconds": 1800, "plan": "p"},
			"region:west": {
				"seconds": 7200, "bounded": true, "gap_seconds": 6000, "plan": "p",
				"witness": {"point": "2027-03-08T00:00:00+01:00", "next": "2027-03-08T02:00:30+01:00"},
			},
		},
	}}},
}

test_within if count(rpo_covered.deny) == 0 with input as tree([fact(3600)], 3600)

test_above_is_told_with_its_witness if {
	found := rpo_covered.deny with input as tree([fact(7200), fact(3600)], 3600)
	count(found) == 1
	some finding in found
	finding.at == ["plans", "p", "backup_frequency"]
	finding.msg == "worst-case loss of `d` without region `west` is 2 h, t allows 1 h"
	finding.help == "slots at most 40 min apart would meet it"
	finding.notes == ["witness: point 2027-03-08T00:00+01:00, next usable 2027-03-08T02:00:30+01:00, failure just before"]
}

# Behind a reference stands the line to change.
test_the_schedule_itself_is_shown if {
	found := rpo_covered.deny with input as tree([fact(7200)], 3600)
		with input.plans.p.backup_frequency as {"every_s": 1800, "tolerated_misses": 0}
	some finding in found
	finding.because[1] == {"at": ["plans", "p", "backup_frequency", "every_s"], "label": "slots are set here"}
}

# What may be missed lies between the slots that count, so slots must be that much nearer.
test_missed_slots_are_told if {
	found := rpo_covered.deny with input as tree([fact(7200)], 3600)
		with input.plans.p.backup_frequency.tolerated_misses as 1
	some finding in found
	finding.label == "up to 1 h 40 min between the slots that count, 1 missed"
	finding.help == "slots at most 20 min apart would meet it, with 1 missed in a row"
}

test_unbounded_never_passes if {
	count(rpo_covered.deny) == 1 with input as tree([object.union(fact(0), {"bounded": false})], 3600)
}

test_null_is_no_small_number if count(rpo_covered.deny) == 1 with input as tree([fact(null)], 3600)

test_absent_proof_fires if count(rpo_covered.deny) == 1 with input as tree([], 3600)

test_absent_facts_fire if {
	count(rpo_covered.deny) == 2 with input as object.remove(tree([], 3600), {"facts"})
}

test_the_datasets_own_objective if {
	found := rpo_covered.deny with input as tree([fact(3600)], 3601)
	{finding.because[0].at | some finding in found} == {["datasets", "d", "rpo_s"]}
}

test_a_tier_that_survives_nothing if {
	count(rpo_covered.deny) == 1 with input as tree([], 3600) with input.settings.tiers.t.survives as []
}

test_excluded_data_needs_no_proof if {
	count(rpo_covered.deny) == 0 with input as tree([], 9999) with input.datasets.d.eligibility as "excluded"
}

test_all_that_is_exceeded_at_a_place_is_one_finding if {
	found := rpo_covered.deny with input as tree([fact(7200)], 4500)
	count(found) == 1
	some finding in found
	finding.about == ["datasets", "d"]
	finding.cause == ["plans", "p", "backup_frequency"]
	"also `lose: none`: 1 h 15 min, 1 h allowed" in finding.notes

	# Both must be met.
	finding.help == "slots at most 15 min apart would meet it"
}

test_a_lost_key_is_the_cause_where_it_is_kept if {
	lost := {"seconds": 9007199254740991, "bounded": false, "plan": "p", "why": "key_lost", "told": "unbounded: the key is lost"}
	found := rpo_covered.deny with input as tree([object.union(fact(0), {"bounded": false})], 3600)
		with input.facts.datasets.d.loss["region:west"] as lost
		with input.plans.p as {"encryption_key_ref": "k"}
		with input.settings.keys as {"k": {}}
	count(found) == 1
	some finding in found
	finding.at == ["plans", "p", "encryption_key_ref"]
	finding.cause == ["settings", "keys", "k", "custody"]
	finding.label == "the key is lost"
}

# With the data that holds it, but where its own custody is what is lost.
test_a_lost_key_that_data_holds_is_kept_there if {
	lost := {"seconds": 9007199254740991, "bounded": false, "plan": "p", "why": "key_lost", "told": "unbounded: the key is lost"}
	causes := {custody: finding.cause[3] |
		some custody in ["host:safe", "region:west"]
		found := rpo_covered.deny with input as tree([object.union(fact(0), {"bounded": false})], 3600)
			with input.facts.datasets.d.loss["region:west"] as lost
			with input.plans.p as {"encryption_key_ref": "k"}
			with input.settings.keys as {"k": {"custody": custody, "kept_in": "e"}}
		some finding in found
	}
	causes == {"host:safe": "kept_in", "region:west": "custody"}
}

test_several_domains_of_a_kind_are_counted if {
	east := {"domain": "region:east", "case": "region:east"}
	west := tree([fact(7200), object.union(fact(7200), east)], 3600).facts.datasets.d.loss["region:west"]
	found := rpo_covered.deny with input as tree([fact(7200), object.union(fact(7200), east)], 3600)
		with input.facts.datasets.d.loss["region:east"] as west
	count(found) == 1
	some finding in found
	"1 more of kind region exceed it too" in finding.notes
}

test_what_dataset_and_tier_both_demand_is_told_once if {
	none := {"lose": "none", "domain": "none", "case": "none", "seconds": 4500, "bounded": true}
	survives := [{"lose": "region", "objective": {"rpo_s": 3600}}, {"lose": "none", "objective": {"rpo_s": 3600}}]
	found := rpo_covered.deny with input as tree([fact(7200), none], 4500)
		with input.settings.tiers.t.survives as survives
	count(found) == 1
	some finding in found
	[note | some note in finding.notes; startswith(note, "also ")] == ["also `lose: none`: 1 h 15 min, 1 h allowed"]
}
