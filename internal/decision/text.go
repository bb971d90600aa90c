package decision

import (
	"strings"
	"unicode"
)

// What the API takes of the texts of a verdict.
const (
	maxMessage = 1024
	maxRemedy  = 300
)

// OneLine puts text that anybody may have written on one line of at most so many bytes: it goes to terminals, logs and
// fields of limited length. What cannot be seen, such as the beginning of a terminal's escape sequence, is left out.
func OneLine(text string, most int) string {
	if isLine(text) {
		text = strings.TrimSpace(text)
	} else {
		text = strings.Join(strings.Fields(strings.Map(visible, text)), " ")
	}
	if len(text) <= most {
		return text
	}
	const more = "..."
	return strings.ToValidUTF8(text[:most-len(more)], "") + more
}

// isLine says whether text is printable ASCII, as almost all is.
func isLine(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func visible(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsPrint(r):
		return r
	}
	return -1
}
