package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

// Goals tells how each goal of a roadmap stands, in the roadmap's order, and when time alone next changes that; zero,
// never. Days are those of UTC: an update counts from the beginning of its day, and a goal is missed when its day is over.
// A goal with a date that is none, or with progress that is not known, is left out and named by the error.
func Goals(spec v1alpha1.SafetyRoadmapSpec, now time.Time) (statuses []v1alpha1.GoalStatus, next time.Time, err error) {
	var unreadable []string
	for i := range spec.Goals {
		g, err := stand(&spec.Goals[i], now)
		if err != nil {
			unreadable = append(unreadable, err.Error())
			continue
		}
		statuses = append(statuses, g.status)
		next = decision.Sooner(next, g.next)
	}
	if len(unreadable) > 0 {
		err = errors.New(strings.Join(unreadable, "; "))
	}
	return statuses, next, err
}

// standing is how a goal stands.
type standing struct {
	status v1alpha1.GoalStatus
	// ends is when its day is over.
	ends time.Time
	// next is when time alone changes how it stands; zero, never.
	next time.Time
}

// open says whether there is still something to be done.
func (s *standing) open() bool {
	return s.status.State != v1alpha1.GoalDone && s.status.State != v1alpha1.GoalDropped
}

func stand(goal *v1alpha1.Goal, now time.Time) (standing, error) {
	updates, err := read(goal)
	if err != nil {
		return standing{}, err
	}
	s := standing{status: v1alpha1.GoalStatus{Name: goal.Name, State: v1alpha1.GoalPlanned, TargetDate: goal.TargetDate}}
	for _, u := range updates {
		if now.Before(u.from) {
			s.next = u.from
			break
		}
		if u.Progress != "" {
			s.status.State = v1alpha1.GoalState(u.Progress)
		}
		if u.TargetDate != "" && u.TargetDate != s.status.TargetDate {
			s.status.FormerTargetDates = append(s.status.FormerTargetDates, s.status.TargetDate)
			s.status.TargetDate = u.TargetDate
		}
	}
	target, _ := day(s.status.TargetDate) // it was read above
	s.ends = target.AddDate(0, 0, 1)
	switch {
	case !s.open():
	case now.Before(s.ends):
		s.next = decision.Sooner(s.next, s.ends)
	default:
		s.status.State = v1alpha1.GoalMissed
	}
	return s, nil
}

// dated is an update and when it begins to count.
type dated struct {
	*v1alpha1.GoalUpdate
	from time.Time
}

var progress = []v1alpha1.GoalState{"", v1alpha1.GoalPlanned, v1alpha1.GoalInProgress, v1alpha1.GoalDone, v1alpha1.GoalDropped}

// read gives the updates of a goal by date, those of one day in the order in which they stand.
func read(goal *v1alpha1.Goal) ([]dated, error) {
	bad := func(where string, value any) error {
		return fmt.Errorf("goal %s: %s %q cannot be read", goal.Name, where, value)
	}
	if _, err := day(goal.DateSet); err != nil {
		return nil, bad("dateSet", goal.DateSet)
	}
	if _, err := day(goal.TargetDate); err != nil {
		return nil, bad("targetDate", goal.TargetDate)
	}
	updates := make([]dated, 0, len(goal.Updates))
	for i := range goal.Updates {
		u := &goal.Updates[i]
		from, err := day(u.Date)
		if err != nil {
			return nil, bad("date of an update", u.Date)
		}
		if _, err := day(u.TargetDate); err != nil && u.TargetDate != "" {
			return nil, bad("targetDate of an update", u.TargetDate)
		}
		if !slices.Contains(progress, v1alpha1.GoalState(u.Progress)) {
			return nil, bad("progress of an update", u.Progress)
		}
		updates = append(updates, dated{u, from})
	}
	slices.SortStableFunc(updates, func(a, b dated) int { return a.from.Compare(b.from) })
	return updates, nil
}

// day gives the beginning of a day in UTC.
func day(d v1alpha1.Date) (time.Time, error) { return time.Parse(time.DateOnly, string(d)) }
