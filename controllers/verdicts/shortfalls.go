package verdicts

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
)

// noted is a shortfall as it was at a time.
type noted struct {
	decision.Shortfall
	at time.Time
}

// forgotten is how long after its end a shortfall is on the board. By then no cache is behind that.
const forgotten = time.Minute

// Remember notes the shortfall of a model and wakes who listens, unless that is what is known. The zero Shortfall is the end.
func (b *Board) Remember(model types.NamespacedName, known, s decision.Shortfall, now time.Time) {
	if known == s {
		return
	}
	b.note(model, func() []listener {
		b.shortfalls[model] = noted{s, now}
		return b.listeners
	})
}

// Shortfall gives what is remembered of a model: what is on the board, or was written by the process before this one.
func (b *Board) Shortfall(model types.NamespacedName, written map[string]string) decision.Shortfall {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, ok := b.shortfalls[model]; ok {
		return n.Shortfall
	}
	return admission.ShortfallOf(written, model.Name)
}

// Shortfalls lays what is on the board over what is written of a namespace, and leaves out those that are over.
func (b *Board) Shortfalls(namespace string, written map[string]string, now time.Time) map[string]decision.Shortfall {
	all := admission.ShortfallsOf(written)
	b.mu.Lock()
	defer b.mu.Unlock()
	for model, n := range b.shortfalls {
		if model.Namespace != namespace {
			continue
		}
		all[model.Name] = n.Shortfall
		if over(n.Shortfall, now) && now.Sub(n.at) > forgotten {
			delete(b.shortfalls, model)
		}
	}
	maps.DeleteFunc(all, func(_ string, s decision.Shortfall) bool { return over(s, now) })
	return all
}

func over(s decision.Shortfall, now time.Time) bool {
	return !s.Short() && s.Quiet(now).IsZero()
}
