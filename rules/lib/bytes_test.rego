package seawall.lib.bytes_test

import rego.v1

import data.seawall.lib.bytes

test_whole if bytes.at_most(10995116277760) == "10 TiB"

test_up if bytes.at_most(1099511627777) == "1.1 TiB"

test_down if bytes.at_least(1209462790553) == "1 TiB"

test_a_tenth_down if bytes.at_least(1649267441664) == "1.5 TiB"

test_small if {
	bytes.at_most(1023) == "1023 B"
	bytes.at_least(0) == "0 B"
	bytes.at_most(1025) == "1.1 KiB"
}

test_no_bound if bytes.at_most(9007199254740991) == "no bound"
