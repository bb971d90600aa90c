package canary

import (
	"errors"
	"fmt"
	"time"

	"github.com/interlock-dev/interlock/internal/decision"
)

const (
	// period is how long it takes until the API servers are asked again.
	period = 30 * time.Second
	// again is how long it takes after a wrong answer.
	again = 2 * time.Second
	// settling is how long an API server may take to see that something was deleted or written. An answer of before may rest on what was
	// there earlier.
	settling = 3 * time.Second
	// overdue is the age of the last right answer at which it counts no longer.
	overdue = 3 * period
	// maxNote is the most that is said in an event.
	maxNote = 1000
)

// transition is the reason of an event.
type transition string

const (
	proven   transition = "EnforcementProven"
	unproven transition = "EnforcementUnproven"
)

// knowledge is what is known of enforcement.
type knowledge struct {
	// proven is when the last round began to which all API servers that could be asked answered rightly; zero, there was none.
	proven time.Time
	// repaired is when enforcement was last repaired.
	repaired time.Time
	// wrong is what is wrong with the last answers; nil, nothing is.
	wrong error
	// believed says that enforcement has been in no doubt since the last round.
	believed bool
	// unasked are the API servers that gave no answer in the last round.
	unasked []error
}

// doubt says why it is not known that what was written is enforced.
func (k *knowledge) doubt(now time.Time) error {
	switch {
	case k.wrong != nil:
		return fmt.Errorf("the API servers do not show that they enforce what Interlock writes, and %s: %w", k.last(), k.wrong)
	case k.proven.IsZero():
		return errors.New("the API servers have not shown yet that they enforce what Interlock writes")
	case k.unsettled():
		return fmt.Errorf("enforcement was repaired at %s, and the API servers have not shown since that they enforce it", stamp(k.repaired))
	case now.Sub(k.proven) > overdue:
		return fmt.Errorf("the API servers have been asked for long whether they enforce what Interlock writes, and %s", k.last())
	}
	return nil
}

// repair notes that enforcement was repaired.
func (k *knowledge) repair(when time.Time) { k.repaired, k.believed = when, false }

// unsettled says that the last right answers may rest on what there was before the last repair.
func (k *knowledge) unsettled() bool {
	return !k.repaired.IsZero() && k.proven.Before(k.repaired.Add(settling))
}

// learn notes what came of a round, and says whether people are to be told.
func (k *knowledge) learn(began time.Time, err error) (told transition, note string) {
	news := k.wrong == nil
	k.wrong = err
	if err != nil {
		k.believed = false
		if !news {
			return "", ""
		}
		return unproven, decision.OneLine(k.doubt(began).Error(), maxNote)
	}
	k.proven = began
	news, k.believed = !k.believed, !k.unsettled()
	if !news || !k.believed {
		return "", ""
	}
	return proven, decision.OneLine("the API servers show that they enforce what Interlock writes"+k.except(), maxNote)
}

// missed notes which API servers gave no answer, and says whether that is news.
func (k *knowledge) missed(none []error) bool {
	news := len(none) != len(k.unasked)
	k.unasked = none
	return news
}

// except names the API servers of which nothing is known.
func (k *knowledge) except() string {
	if len(k.unasked) == 0 {
		return ""
	}
	return fmt.Sprintf("; nothing is known of %d that cannot be asked: %v", len(k.unasked), errors.Join(k.unasked...))
}

// pause is how long it takes until the next round.
func (k *knowledge) pause() time.Duration {
	switch {
	case k.wrong != nil:
		return again
	case k.unsettled():
		return settling
	}
	return period
}

func (k *knowledge) last() string {
	if k.proven.IsZero() {
		return "have not since this process leads"
	}
	return "last did at " + stamp(k.proven)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
