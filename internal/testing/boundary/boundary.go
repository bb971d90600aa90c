// Package boundary has the times at which it is easy to be a second, a day or a month wrong. The tests of the decision, of
// the controller and of the API server's lease all walk over them, so that the three cannot differ.
package boundary

import "time"

// Age is an assessment, how long it counts, and the first second at which it does not any more.
type Age struct {
	Made   string
	Months int32
	Ends   string
}

// Ages are such assessments: calendar months are counted in UTC, and end with a month that is too short.
var Ages = map[string]Age{
	"six months from 31 August":                 {"2025-08-31T10:00:00Z", 6, "2026-02-28T10:00:00Z"},
	"the same before a leap year":               {"2027-08-31T10:00:00Z", 6, "2028-02-29T10:00:00Z"},
	"from 30 August":                            {"2025-08-30T10:00:00Z", 6, "2026-02-28T10:00:00Z"},
	"from 28 August":                            {"2025-08-28T10:00:00Z", 6, "2026-02-28T10:00:00Z"},
	"from 29 February, twelve months":           {"2028-02-29T00:00:00Z", 12, "2029-02-28T00:00:00Z"},
	"from 29 February, four years":              {"2028-02-29T00:00:00Z", 48, "2032-02-29T00:00:00Z"},
	"from 28 February, to a leap year":          {"2027-02-28T12:00:00Z", 12, "2028-02-28T12:00:00Z"},
	"from 31 January, one month":                {"2026-01-31T12:00:00Z", 1, "2026-02-28T12:00:00Z"},
	"from 30 April, one month":                  {"2026-04-30T12:00:00Z", 1, "2026-05-30T12:00:00Z"},
	"from 31 October, one month":                {"2026-10-31T12:00:00Z", 1, "2026-11-30T12:00:00Z"},
	"from 30 June":                              {"2026-06-30T12:00:00Z", 6, "2026-12-30T12:00:00Z"},
	"the last second of a year":                 {"2025-12-31T23:59:59Z", 6, "2026-06-30T23:59:59Z"},
	"the first second of a year":                {"2026-01-01T00:00:00Z", 12, "2027-01-01T00:00:00Z"},
	"over the end of a year":                    {"2026-07-01T00:00:00Z", 6, "2027-01-01T00:00:00Z"},
	"ten years":                                 {"2026-05-31T12:00:00Z", 120, "2036-05-31T12:00:00Z"},
	"a month's end only where it was made":      {"2026-03-01T08:00:00+09:00", 6, "2026-08-28T23:00:00Z"},
	"31 August only in UTC":                     {"2025-09-01T08:00:00+09:00", 6, "2026-02-28T23:00:00Z"},
	"31 August only where it was made":          {"2025-08-31T20:00:00-07:00", 6, "2026-03-01T03:00:00Z"},
	"a day ahead of UTC":                        {"2026-01-01T00:30:00+14:00", 1, "2026-01-31T10:30:00Z"},
	"fractions of a second, which are not kept": {"2026-01-15T10:00:00.9Z", 6, "2026-07-15T10:00:00Z"},
}

// MadeAt is when the assessment was made, in the place where it was.
func (a Age) MadeAt() time.Time { return instant(a.Made) }

// EndsAt is the first second at which it does not count any more.
func (a Age) EndsAt() time.Time { return instant(a.Ends) }

// Around are moments about that second, and whether the assessment counts at them.
func (a Age) Around() map[time.Time]bool {
	ends := a.EndsAt()
	return map[time.Time]bool{
		ends.Add(-time.Second): true, ends.Add(-time.Nanosecond): true,
		ends: false, ends.Add(time.Nanosecond): false, ends.Add(time.Second): false}
}

func instant(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return at
}
