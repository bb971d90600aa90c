package bypass

import "slices"

// mutants are those of all topics. A topic that is added gets a file of its own and a line here.
var mutants = slices.Concat(
	identityMutants,
	firstMutants,
	freshMutants,
	registryMutants,
	connectMutants,
	labelMutants,
	shortfallMutants,
	letterMutants,
	tenantMutants,
	staleMutants,
)
