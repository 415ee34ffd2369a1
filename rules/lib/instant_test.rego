package seawall.lib.instant_test

import rego.v1

import data.seawall.lib.instant

test_the_epoch if instant.unix("1970-01-01T00:00:00Z") == 0

test_a_leap_day if instant.unix("2028-02-29T12:34:56Z") == 1835440496

test_the_day_after if instant.unix("2028-03-01T00:00:00Z") == 1835481600

test_a_year_that_is_no_leap_year if instant.unix("2100-03-01T00:00:00Z") == 4107542400

test_other_forms_are_undefined if {
	not instant.unix("2028-02-29T12:34:56+01:00")
	not instant.unix("2028-02-29")
	not instant.unix("")
}
