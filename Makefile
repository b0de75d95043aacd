# The commands of the project. `make run` and `make test` do their own set-up.

MODULES   := proto host sdk sdk/gomlx plugins bench
PLUGINS   := $(patsubst plugins/%/main.go,%,$(wildcard plugins/*/main.go))
PLATFORMS := linux/amd64,linux/arm64,darwin/amd64,darwin/arm64
PYTHON    ?= python3
TOOLS     := $(CURDIR)/.tools
VENV      := .venv
SITE      := .site
# Everything is pinned by go.sum, so the toolchain that is there is the one that is used.
export GOTOOLCHAIN ?= local

.PHONY: build run test lint generate soak bench bench-gpu bench-binaries clean

## build: bin/mtt-host, bin/plugins/<name> and bin/modal-fake; elsewhere than on linux/amd64 also the mtt-host for Modal
build:
	CGO_ENABLED=0 go build -C host -trimpath -o $(CURDIR)/bin/ ./cmd/mtt-host ./cmd/modal-fake
ifneq ($(shell go env GOOS)/$(shell go env GOARCH),linux/amd64)
	GOOS=linux GOARCH=amd64 CGO_ENABLED=0 go build -C host -trimpath -o $(CURDIR)/bin/mtt-host-linux-amd64 ./cmd/mtt-host
endif
	@for plugin in $(filter-out faulty,$(PLUGINS)); do \
		go build -C plugins -trimpath -buildvcs=false -o $(CURDIR)/bin/plugins/$$plugin ./$$plugin || exit 1; \
	done

## run: train the digits on this machine, and say where the run is
run: build
	bin/mtt-host run plugins/train

# Most tests wait more than they compute, so more of them run at once than there are processors.
TESTS_AT_ONCE := 4

## test: all tests, with everything that they need; a module that fails keeps none of the others from being tested
test: build $(VENV)/installed $(SITE)/installed lint
	@failed=; for module in $(MODULES); do \
		(cd $$module && go test -parallel $(TESTS_AT_ONCE) -timeout 75m ./...) || failed="$$failed $$module"; \
	done; test -z "$$failed" || { echo "tests failed in:$$failed" >&2; exit 1; }

## lint: vet, staticcheck, the types as on each supported platform, buf, import edges, stale generated code
lint: $(TOOLS)/installed
	@for module in $(MODULES); do (cd $$module && test -z "$$(gofmt -l . | tee -a /dev/stderr)" && go vet ./... && $(TOOLS)/staticcheck ./...) || exit 1; done
	$(TOOLS)/typecheck -for $(PLATFORMS) $(MODULES:%=./%/...)
	tools/edges.sh
	$(TOOLS)/buf lint
	$(TOOLS)/buf breaking --against proto/baseline.binpb
	tools/stale.sh

## generate: the Go code of the wire
generate: $(TOOLS)/installed
	$(TOOLS)/buf generate

## soak: the tests of kills and of curves at full count
soak: build $(VENV)/installed $(SITE)/installed
	cd host && CI=true MTT_SOAK=1 go test -count=1 -timeout 10h -v -run 'Kill|GrowthHasABound' ./cmd/mtt-host
	cd host && CI=true MTT_SOAK=1 go test -count=1 -timeout 2h -v -run 'Loaders|TensorBoard' ./internal/tensorboard

## bench: measure what mtt costs on this machine, and write it into docs/benchmarks.md
bench: bench-binaries $(VENV)/installed $(SITE)/installed
	MTT_SITE=$(CURDIR)/$(SITE) PYTHON=$(CURDIR)/$(VENV)/bin/python MTT_MODAL=$(CURDIR)/$(VENV)/bin/modal bin/bench/bench

## bench-gpu: the same on a GPU, and against JAX; $(PYTHON) has to have jax[cuda13] and tensorboard
bench-gpu: bench-binaries
	PYTHON=$(PYTHON) bin/bench/bench -devices cuda -jax

# bin/bench, which can be carried to a machine without Go. What is compared is built with the same flags.
bench-binaries:
	CGO_ENABLED=0 go build -C host -trimpath -o $(CURDIR)/bin/bench/ ./cmd/mtt-host ./cmd/modal-fake
	CGO_ENABLED=0 go build -C bench -trimpath -buildvcs=false -o $(CURDIR)/bin/bench/bench .
	CGO_ENABLED=0 go build -C bench -trimpath -buildvcs=false -o $(CURDIR)/bin/bench/bare ./bare
	CGO_ENABLED=1 go build -C bench -trimpath -buildvcs=false -o $(CURDIR)/bin/bench/bare-xla ./bare
	CGO_ENABLED=1 go build -C bench -trimpath -buildvcs=false -o $(CURDIR)/bin/bench/synthetic ./synthetic
	CGO_ENABLED=0 go build -C plugins -trimpath -buildvcs=false -o $(CURDIR)/bin/bench/ ./train ./faulty ./trials/scalars
	CGO_ENABLED=1 go build -C plugins -trimpath -buildvcs=false -o $(CURDIR)/bin/bench/train-xla ./train

clean:
	rm -rf bin $(TOOLS) $(VENV) $(SITE)

# A stamp says that what the pinned files name is installed.
$(VENV)/installed: tools/python/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tools/python/requirements.txt
	touch $@

# XLA for the CPU, as `mtt-host doctor --install` unpacks it.
$(SITE)/installed: host/internal/doctor/xla-cpu.txt | build
	MTT_SITE=$(CURDIR)/$(SITE) bin/mtt-host doctor --install xla-cpu
	touch $@

$(TOOLS)/installed: tools/go.mod tools/go.sum tools/buf/go.mod tools/buf/go.sum $(wildcard tools/typecheck/*.go)
	mkdir -p $(TOOLS)
	cd tools && GOWORK=off go build -o $(TOOLS)/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc honnef.co/go/tools/cmd/staticcheck ./typecheck
	cd tools/buf && GOWORK=off go build -o $(TOOLS)/ github.com/bufbuild/buf/cmd/buf
	touch $@
