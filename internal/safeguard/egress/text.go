package egress

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Limits on the parts of a sentence, so that a whole one stays within 512 bytes whatever a policy holds.
const (
	maxName   = 253 // a policy's name: as long as the API server allows, so that no two are shown alike
	maxValue  = 54
	maxReason = 140
)

// quote shows what somebody else wrote within quotes, as printable ASCII, cut to about limit bytes.
func quote(s string, limit int) string {
	cut := len(s) > limit
	q := strconv.QuoteToASCII(s[:min(len(s), limit)])
	if len(q) > limit+2 {
		cut, q = true, q[:limit+1]+`"`
	}
	if cut {
		q += "..."
	}
	return q
}

// plain shows the words of a library, which quote what others wrote, as printable ASCII, cut to limit bytes.
func plain(s string, limit int) string {
	cut := len(s) > limit
	p := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), limit)])
	if cut {
		p += "..."
	}
	return p
}

func sortedKeys(m map[string]string) []string {
	return slices.Sorted(maps.Keys(m))
}
