// Package policies holds tests of the policy packs and samples under config/: that what they name is there, that every
// rule compiles, and that it finds what it is for.
package policies
