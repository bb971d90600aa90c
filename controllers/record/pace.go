package record

import "time"

const (
	// perSecond is how many entries a namespace may add for as long as it likes, and atOnce how many besides: some, and two for
	// each model, so that a change of policy that takes a clearance from all and gives it back is written as it happens.
	perSecond       = 2
	atOnce          = 300
	atOncePerModels = 2
)

// pace bounds how fast the entries of each namespace come, so that one whose safeguards come and go does not fill the record
// for all.
type pace map[string]spent

// spent is how much of what a namespace may add at once it has used at a time.
type spent struct {
	entries float64
	at      time.Time
}

// take lets a namespace add an entry, or says how long until it may. The number of its models is asked for if it matters.
func (p pace) take(namespace string, now time.Time, models func(namespace string) int) (wait time.Duration) {
	s := p[namespace]
	if passed := now.Sub(s.at).Seconds(); passed > 0 {
		s.entries = max(0, s.entries-passed*perSecond)
	}
	s.at = now
	if most := float64(atOnce); s.entries+1 > most {
		most += atOncePerModels * float64(models(namespace))
		if over := s.entries + 1 - most; over > 0 {
			return max(time.Duration(over/perSecond*float64(time.Second)), time.Millisecond)
		}
	}
	s.entries++
	p[namespace] = s
	return 0
}

// forget lets go of the namespaces that have added nothing for long enough.
func (p pace) forget(now time.Time) {
	for namespace, s := range p {
		if now.Sub(s.at).Seconds()*perSecond >= s.entries {
			delete(p, namespace)
		}
	}
}
