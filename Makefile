# `make` lists the targets.
PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := .make
NPM := npm --silent --no-audit --no-fund
SLITHER := $(STAMP)/slither/bin/slither
# Sequences of calls in the invariant tests of the contract; each function is fuzzed eight times as often.
RUNS ?= 24

.DEFAULT_GOAL := help
.PHONY: help repo demo test tree check unit e2e live sim fuzz bench bench-mesh contracts web web-test clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

repo: $(STAMP)/tools ## Set up .venv with everything, tests and checks included; run nothing

demo: $(STAMP)/run ## Train a model on a whole local network and show every tinybar
	@$(BIN)/shoal demo $(ARGS)

test: $(STAMP)/tools contracts $(STAMP)/js $(STAMP)/js-libp2p $(STAMP)/web ## Install what tests need, compile the contract again, run all tests but web-test
	cd web && $(NPM) run check && $(NPM) test
	$(BIN)/pytest -n 2 --dist worksteal tests/unit tests/evm tests/devnet $(ARGS)
	$(BIN)/pytest -n 2 --dist loadfile tests/contract tests/hostile $(ARGS)
	$(BIN)/pytest tests/e2e $(ARGS)

unit: $(STAMP)/tools ## The quick tests
	$(BIN)/pytest -n 2 --dist worksteal tests/unit tests/evm $(ARGS)

e2e: $(STAMP)/tools ## The whole stack, as a newcomer runs it
	$(BIN)/pytest tests/e2e $(ARGS)

live: $(STAMP)/tools ## One task on the ledger that the environment names; skipped without credentials
	$(BIN)/pytest tests/live $(ARGS)

sim: $(STAMP)/tools ## Simulate whole tasks with seeded faults
	$(BIN)/pytest tests/unit/core/test_simulator.py $(ARGS)

fuzz: $(STAMP)/tools ## 100,000 malformed messages of every wire type to a node; prints crashes and memory
	$(BIN)/python tests/hostile/wire.py $(or $(ARGS),100000)

tree: ## Write the README's tree from the modules' first lines
	$(PYTHON) tools/tree.py

check: $(STAMP)/tools ## ruff, mypy --strict, import-linter, the README's tree
	$(PYTHON) tools/tree.py --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)/tools ## Measure phases, round overhead and memory of the demo
	$(BIN)/python bench/demo.py $(ARGS)

bench-mesh: $(STAMP)/tools ## Measure the peer network alone: many nodes, and a flood
	$(BIN)/python bench/mesh.py $(ARGS)
	$(BIN)/python bench/flood.py

contracts: $(STAMP)/contracts $(SLITHER) ## Compile the contract again, fuzz it (RUNS=1000: longer), have slither read it
	cd contracts && $(NPM) run check
	cd contracts && FOUNDRY_INVARIANT_RUNS=$(RUNS) FOUNDRY_FUZZ_RUNS=$$((8 * $(RUNS))) $(NPM) test
	$(SLITHER) contracts/foundry/slither-input.json --compile-force-framework solc-json \
		--solc contracts/foundry/solc.mjs --solc-disable-warnings --filter-paths node_modules \
		--exclude-optimization --exclude-informational --exclude-low --fail-medium

web: $(STAMP)/web ## Build the web app, which a node then serves
	cd web && $(NPM) run build

web-test: web ## Test the web app: its logic, every page on recorded data, and a training bought in a browser (needs chromium)
	cd web && $(NPM) run check && $(NPM) test && $(NPM) run build:fake && $(NPM) run e2e

.PHONY: branches
branches: $(STAMP)/contracts ## Measure which branches of the contract its tests take
	cd contracts && $(NPM) run branches

clean: ## Remove what make made
	rm -rf $(VENV) $(STAMP) contracts/node_modules contracts/foundry/out contracts/foundry/cache
	rm -rf web/node_modules web/dist-fake src/shoal/web/dist
	rm -rf tests/js/node_modules tests/js-ipfs/node_modules tests/js-libp2p/node_modules

$(VENV)/bin/python:
	@$(PYTHON) tools/preflight.py python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

# torch comes first and by itself: another index may hold the build wanted, and only that one.
$(STAMP)/torch: $(VENV)/bin/python constraints.txt
	@mkdir -p $(STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@touch $@

$(STAMP)/run: $(STAMP)/torch pyproject.toml
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[desktop,examples]'
	@touch $@

$(STAMP)/tools: $(STAMP)/run
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[desktop,examples,test,check]'
	@touch $@

$(STAMP)/contracts: contracts/package-lock.json
	@$(PYTHON) tools/preflight.py node
	@mkdir -p $(STAMP)
	cd contracts && $(NPM) ci
	@touch $@

# In a virtual environment of its own: its libraries are not those of the package.
$(SLITHER): contracts/slither.txt
	@$(PYTHON) tools/preflight.py python
	$(PYTHON) -m venv $(STAMP)/slither
	$(STAMP)/slither/bin/pip install --quiet --requirement contracts/slither.txt
	@touch $@

$(STAMP)/js: tests/js/package-lock.json tests/js-ipfs/package-lock.json
	@$(PYTHON) tools/preflight.py node
	@mkdir -p $(STAMP)
	cd tests/js && $(NPM) ci
	cd tests/js-ipfs && $(NPM) ci
	@touch $@

$(STAMP)/js-libp2p: tests/js-libp2p/package-lock.json
	@$(PYTHON) tools/preflight.py node
	@mkdir -p $(STAMP)
	cd tests/js-libp2p && $(NPM) ci
	@touch $@

$(STAMP)/web: web/package-lock.json
	@$(PYTHON) tools/preflight.py node
	@mkdir -p $(STAMP)
	cd web && $(NPM) ci
	@touch $@
