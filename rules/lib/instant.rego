# Instants as unix seconds. Rules have no clock and no time functions: the date is `input.at`, and what policy writes as
# RFC 3339 in UTC is counted here, by the days since 1970-01-01.
package seawall.lib.instant

import rego.v1

# Undefined for a text that is no whole second in UTC, so that a comparison with it never holds.
unix(text) := (((days * 24) + hour) * 60 + minute) * 60 + second if {
	regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`, text)
	days := since_epoch(digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2))
	hour := digits(text, 11, 2)
	minute := digits(text, 14, 2)
	second := digits(text, 17, 2)
}

digits(text, from, length) := to_number(trim_left(padded, "0")) if {
	padded := substring(text, from, length)
	trim_left(padded, "0") != ""
} else := 0

# Years are counted from March, so that the leap day is the last of its year; 719468 days lie between 0000-03-01 and 1970-01-01.
since_epoch(year, month, day) := ((((365 * y) + floor(y / 4)) - floor(y / 100)) + floor(y / 400) + of_year) - 719468 if {
	y := year - early(month)
	m := (month + 9) % 12
	of_year := (floor(((153 * m) + 2) / 5) + day) - 1
}

early(month) := 1 if {
	month < 3
} else := 0
