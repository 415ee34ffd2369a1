package seawall.lib.duration_test

import rego.v1

import data.seawall.lib.duration

test_hours_and_minutes if duration.human(22800) == "6 h 20 min"

test_two_days_are_hours if duration.human(194400) == "54 h"

test_from_a_week_on_days if duration.human(691200) == "8 d"

test_seconds if duration.human(61) == "1 min 1 s"

test_nothing if duration.human(0) == "0 s"

test_unbounded if duration.human(9007199254740991) == "no bound"
