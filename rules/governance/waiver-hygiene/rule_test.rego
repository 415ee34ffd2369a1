package seawall.rules.governance.waiver_hygiene_test

import rego.v1

import data.seawall.rules.governance.waiver_hygiene as rule

good := {
	"code": "SW0301", "targets": ["datasets/d"], "owner": "team",
	"reason": "a second region is built until spring", "expiry": "1970-01-02T00:00:00Z",
}

tree(waivers, limit) := {
	"at": 0,
	"environment": {"environment_id": "e", "waiver_limit_s": limit},
	"settings": {"roles": {"team": {"role_id": "team"}}},
	"waivers": waivers,
}

changed(field, value) := {"w": object.union(good, {field: value})}

test_a_good_waiver if count(rule.deny) == 0 with input as tree({"w": good}, 86400)

test_none_at_all if count(rule.deny) == 0 with input as tree({}, 86400)

test_a_label_is_no_reason if count(rule.deny) == 1 with input as tree(changed("reason", "known issue"), 86400)

test_no_reason if count(rule.deny) == 1 with input as tree({"w": object.remove(good, ["reason"])}, 86400)

test_an_unknown_owner if count(rule.deny) == 1 with input as tree(changed("owner", "nobody"), 86400)

test_too_long if count(rule.deny) == 1 with input as tree({"w": good}, 86399)

test_an_unreadable_end_is_too_long if count(rule.deny) == 1 with input as tree(changed("expiry", "some day"), 86400)

test_no_limit if {
	without := object.remove(tree({"w": good}, 0), ["environment"])
	count(rule.deny) == 0 with input as object.union(without, {"environment": {"environment_id": "e"}})
}

test_two_for_one_target if count(rule.deny) == 1 with input as tree({"v": good, "w": good}, 86400)

test_another_code_is_another_waiver if {
	other := object.union(good, {"code": "SW0315"})
	count(rule.deny) == 0 with input as tree({"v": good, "w": other}, 86400)
}
