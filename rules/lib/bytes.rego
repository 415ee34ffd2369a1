# Numbers of bytes for people, in the largest unit that fits and with a tenth. What is needed is rounded up and what there is
# rounded down, so that two numbers never read the same where the first does not fit into the second.
package seawall.lib.bytes

import rego.v1

units := [[1125899906842624, "PiB"], [1099511627776, "TiB"], [1073741824, "GiB"], [1048576, "MiB"], [1024, "KiB"]]

at_most(number) := "no bound" if {
	number >= 9007199254740991
} else := tenths(ceil((number / size) * 10), name) if {
	[size, name] := unit(number)
} else := sprintf("%d B", [number])

at_least(number) := tenths(floor((number / size) * 10), name) if {
	[size, name] := unit(number)
} else := sprintf("%d B", [number])

unit(number) := [fit | some fit in units; fit[0] <= number][0]

tenths(number, name) := sprintf("%d %s", [floor(number / 10), name]) if {
	number % 10 == 0
} else := sprintf("%d.%d %s", [floor(number / 10), number % 10, name])
