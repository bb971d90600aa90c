# Interlock: `make` alone prints what there is to make. Needs Go, git and a POSIX shell, nothing else.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The programs of hack/ have modules of their own, so that what they need does not end up among the requirements of
# the operator (docs/decisions/0003-tools-in-their-own-modules.md). hack/tools is a list of versions without code.
MODULES := . hack/controlplane hack/tools
CODE_MODULES := $(filter-out hack/tools,$(MODULES))

# What `make generate manifests` writes. `verify` compares these before and after.
GENERATED := api/v1alpha1/zz_generated.deepcopy.go config/crd/bases config/rbac/role.yaml docs/reference/api.md

# Packages, or processes of a suite, that are tested at once. Each of those of test/ starts an API server of its own, so more
# is not faster.
TEST_PARALLEL ?= 2
TEST_TIMEOUT ?= 40m
# `make test PKG=./test/bypass TESTFLAGS='-v -ginkgo.focus=13:'` tests just these packages, with further arguments of `go test`.
PKG ?=
TESTFLAGS ?=
GO_TEST = go test -p $(TEST_PARALLEL) -timeout $(TEST_TIMEOUT) $(TESTFLAGS)
# Suites whose specs wait most of the time, so that processes share them, each with an API server of its own.
SUITES := ./test/bypass ./test/integration
# Of the others those that take longest, to begin with.
LONGEST := ./test/compat ./test/docs
LINTFLAGS ?=

# Tools are built once for each set of versions and kept in the user's cache, where a second clone finds them.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/interlock
TOOLS_KEY := $(shell { cat hack/tools/go.mod hack/tools/go.sum; go env GOVERSION GOOS GOARCH; } | \
	sha256sum | cut -c 1-16)
TOOLS_DIR := $(CACHE)/tools/$(TOOLS_KEY)
CONTROLLER_GEN := $(TOOLS_DIR)/controller-gen
CRD_REF_DOCS := $(TOOLS_DIR)/crd-ref-docs
GOLANGCI_LINT := $(TOOLS_DIR)/golangci-lint
GINKGO := $(TOOLS_DIR)/ginkgo

##@ Everyday

.PHONY: help
help: ## Print this help
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

# Without grpcnotrace, gRPC brings in golang.org/x/net/trace, whose pages are rendered by html/template. That calls methods
# by name, so the linker could leave out no method of any type: a third more program, and 10 MB more memory.
GO_BUILD := go build -tags=grpcnotrace $(BUILDFLAGS)

.PHONY: build
build: ## Build the manager and the kubectl plugin into bin/
	@$(GO_BUILD) -o bin/manager .
	@$(GO_BUILD) -o bin/kubectl-interlock ./cmd/kubectl-interlock
	@echo "built bin/manager and bin/kubectl-interlock"

.PHONY: unit
unit: ## Run the tests that need no API server
	@$(GO_TEST) $$(go list ./... | grep -v -e /test/ -e /internal/testing/)

.PHONY: test
test: $(GINKGO) ## Run all tests, those of test/ on a real API server
	@assets=$$(go run -C hack/controlplane .) && \
		go run ./hack/neighbours >/dev/null && \
		export INTERLOCK_CONTROLPLANE_ASSETS="$$assets" && \
		if [ -n "$(PKG)" ]; then $(GO_TEST) $(PKG); else \
			$(GO_TEST) $(LONGEST) $$(go list ./... | grep -v $(patsubst .%,-e '%$$',$(SUITES) $(LONGEST))) && \
			$(GINKGO) --procs=$(TEST_PARALLEL) --timeout=$(TEST_TIMEOUT) --keep-going $(SUITES); \
		fi
	@$(foreach m,$(filter-out .,$(CODE_MODULES)),(cd $(m) && $(GO_TEST) ./...) &&) true

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters, among them those that hold the import arrows and the API conventions
	@$(foreach m,$(CODE_MODULES),(cd $(m) && $(GOLANGCI_LINT) run --allow-parallel-runners $(LINTFLAGS) ./...) &&) true

.PHONY: lint-fix
lint-fix: LINTFLAGS += --fix
lint-fix: lint ## Run the linters and let them repair what they can

##@ Generated files

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Write the deepcopy functions of api/
	@$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: $(CONTROLLER_GEN) $(CRD_REF_DOCS) ## Write the CRDs, the operator's role and docs/reference/api.md
	@mkdir -p config/crd/bases config/rbac docs/reference
	@rm -f config/crd/bases/interlock.dev_*.yaml
	@$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	@$(CONTROLLER_GEN) rbac:roleName=interlock-manager paths=./controllers/... output:rbac:artifacts:config=config/rbac
	@$(CRD_REF_DOCS) --log-level=ERROR --source-path=./api --config=hack/api-reference/config.yaml --renderer=markdown \
		--templates-dir=hack/api-reference --output-path=docs/reference/api.md

.PHONY: verify
verify: verify-generated verify-modules lint ## Fail unless generated files, module files and the linters are content

# Compares with what was there before rather than with git, so that it can be run before a commit as well; on CI, where
# nothing may have changed since the commit, the whole tree must be clean too.
.PHONY: verify-generated
verify-generated:
	@sums() { find $(GENERATED) -type f -exec sha256sum {} + 2>/dev/null | LC_ALL=C sort; }; \
	before=$$(sums); \
	$(MAKE) generate manifests && \
	after=$$(sums) && \
	if [ "$$before" != "$$after" ]; then \
		echo "These generated files were not up to date, and now are. Look at them and commit them:"; \
		{ echo "$$before"; echo "$$after"; } | LC_ALL=C sort | uniq -u | cut -c 67- | uniq | sed 's/^/  /'; \
		exit 1; \
	fi
	@if [ -n "$$CI" ] && [ -n "$$(git status --porcelain)" ]; then \
		echo "The tree differs from the commit:"; git status --porcelain; exit 1; \
	fi
	@echo "generated files are up to date"

.PHONY: verify-modules
verify-modules:
	@for m in $(MODULES); do \
		diff=$$(go mod tidy -C $$m -diff 2>&1) || { \
			echo "$$diff" | head -20; echo "run 'go mod tidy' in $$m"; exit 1; \
		}; \
	done
	@echo "module files are tidy"

##@ On a local control plane

.PHONY: up
up: ## Start an API server with ten fake nodes and Interlock on it; prints how to reach it
	@go run ./hack/stack up

.PHONY: down
down: ## Stop what 'make up' started, and nothing else
	@go run ./hack/stack down

.PHONY: demo
demo: ## The whole story: held, released, revoked, and held still with the operator dead
	@go run ./hack/demo

# What the nemesis draws from, for how long it is at work, and where to write the history down.
SEED ?= 0
DURATION ?= 10m
HISTORY ?=
.PHONY: history
history: ## Let a nemesis at Interlock for ten minutes and check what happened: SEED=1 DURATION=24h HISTORY=file
	@assets=$$(go run -C hack/controlplane .) && \
		INTERLOCK_CONTROLPLANE_ASSETS="$$assets" go test ./test/history -count=1 -timeout=0 -v -run=TestHistory \
			-args -history.clocks -history.seed=$(SEED) -history.duration=$(DURATION) -history.keep=$(HISTORY)

.PHONY: bench
bench: ## Measure how fast pods are released and what Interlock costs the API server
	@go run ./test/bench

.PHONY: test-memory
test-memory: ## Run the operator in a memory cgroup of the shipped limit, beside the largest objects (takes root)
	@go run ./test/bench -only fat -limited

##@ Prepare and clean up

.PHONY: controlplane
controlplane: ## Build the control plane (once, some minutes) and print where it is
	@go run -C hack/controlplane .

.PHONY: neighbours
neighbours: ## Build the controllers of other projects that tests run beside ours (once, some minutes)
	@go run ./hack/neighbours

.PHONY: tools
tools: $(CONTROLLER_GEN) $(CRD_REF_DOCS) $(GOLANGCI_LINT) $(GINKGO) ## Build the generators and linters (once, some minutes)

.PHONY: clean
clean: ## Remove bin/; what is cached for other clones stays
	@rm -rf bin

# $(call build-tool,PACKAGE[,LDFLAGS]): through a temporary name, since two clones may build the same tool at once.
define build-tool
	@echo "building $(@F), once for this version" >&2
	@mkdir -p $(@D)
	@go build -C hack/tools -ldflags='-s -w $(2)' -o $@.$$PPID $(1) && mv $@.$$PPID $@
endef

# Stamped, since it writes its version into the CRDs.
CONTROLLER_GEN_STAMP = sigs.k8s.io/controller-tools/pkg/version.version=$(shell \
	go list -C hack/tools -m -f '{{.Version}}' sigs.k8s.io/controller-tools)
$(CONTROLLER_GEN):
	$(call build-tool,sigs.k8s.io/controller-tools/cmd/controller-gen,-X $(CONTROLLER_GEN_STAMP))

$(GINKGO):
	$(call build-tool,github.com/onsi/ginkgo/v2/ginkgo)

$(CRD_REF_DOCS):
	$(call build-tool,github.com/elastic/crd-ref-docs)

# golangci-lint with the kube-api-linter compiled in.
$(GOLANGCI_LINT):
	$(call build-tool,sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter)
