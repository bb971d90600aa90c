package bypass

const (
	storing      = "controllers/attestation/store.go"
	transporting = "controllers/attestation/transport.go"
	sharing      = "controllers/attestation/shares.go"
)

// registryMutants break what protects evidence that lies in registries, and evidence that says no time.
var registryMutants = []mutant{
	{"undated-timeless", "evidence: a signature that says no time is as young as the Attestation that brings it", "it is as old as its signer needs",
		[]change{{storing, `statement.SeenBy(a.CreationTimestamp.Time)`, `statement.SeenBy(time.Unix(0, 0))`}},
		[]string{"26: a signature that says no time"}},
	{"undated-anew", "evidence: a statement that says no time is as old as can be if it passes", "it is as new as what brings it",
		[]change{{attesting, `if s.Undated() && c.failed != "" {`, `if s.Undated() {`}},
		[]string{"27: nobody outdates"}},
	{"first-layer-only", "evidence: all layers of a manifest are read", "the last is not",
		[]change{{fetching, `for _, descriptor := range layers {`, `for _, descriptor := range layers[:max(len(layers)-1, 1)] {`}},
		[]string{"27: each layer"}},
	{"one-bad-layer", "evidence: a layer that is none hides no other", "it does",
		[]change{{fetching, `			f.err = err
`, `			return []found{{digest: reference.DigestStr(), err: err}}, nil
`}},
		[]string{"27: each layer"}},
	{"share-unbounded", "evidence: each namespace has its share of what is read from registries", "it has what it asks for",
		[]change{{sharing, `shareBytes = 16 << 20`, `shareBytes = 16 << 40`}},
		[]string{"40: a registry"}},
	{"layers-from-anywhere", "evidence: a layer is fetched only from hosts that are listed", "it is from any",
		[]change{{transporting, `case !slices.Contains(t.listed, hostOf(to)):`, `case false:`}},
		[]string{"40: a registry"}},
}
