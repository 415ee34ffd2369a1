# Lengths of time for people. Seconds come as integers and leave as `6 h 20 min`, the way every other message of Seawall
# tells them: days from one week on, because losses read better in hours.
package seawall.lib.duration

import rego.v1

week := 604800

human(seconds) := "no bound" if {
	seconds >= 9007199254740991
} else := "0 s" if {
	seconds == 0
} else := concat(" ", [sprintf("%d %s", [amount, unit]) |
	some [amount, unit] in parts(seconds)
	amount > 0
])

parts(seconds) := [[days(seconds), "d"], [floor(rest / 3600), "h"], [floor((rest % 3600) / 60), "min"], [rest % 60, "s"]] if {
	rest := seconds - (days(seconds) * 86400)
}

days(seconds) := floor(seconds / 86400) if {
	seconds >= week
} else := 0
