# Everything runs from here. `make` alone lists what there is; each target sets up what it needs first.

PYTHON ?= python3
MEMBERS ?= 40
DAYS ?= 156
SEED ?= 7
SEEDS ?= 1000:500
MINUTES ?= 20
ARGS ?=

BIN := .venv/bin
READY := .venv/.ready
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header

.DEFAULT_GOAL := help
.PHONY: help setup demo up test check lint audit fmt bench proof soak load budget sizes synth deploy lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Run a small community through the whole stack, on this machine (MEMBERS=40 DAYS=156 SEED=7)
	@$(BIN)/flywheel demo --members $(MEMBERS) --days $(DAYS) --seed $(SEED) $(ARGS)

up: $(READY) ## Leave the whole stack running on this machine, with signed curls to try
	@$(BIN)/flywheel up $(ARGS)

test: $(READY) ## Run all tests: offline, without an AWS account (ARGS="-k word" for some)
	@$(BIN)/python -m pytest $(ARGS)

check: lint test ## Everything that must hold before a commit

lint: $(READY) ## Format, lint, types, import rules and bandit
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml functions infra shared

audit: $(READY) ## Look for known holes in what we depend on (needs a network)
	@mkdir -p .build; for pinned in dev bootstrap; do \
	  $(BIN)/uv tool run pip-audit@2.10.1 --strict --disable-pip --require-hashes -r requirements/$$pinned.txt 2> .build/audit.log \
	    && cat .build/audit.log >&2 && continue; \
	  if grep -q '^Traceback' .build/audit.log; then \
	    echo "Nothing was audited: the register of known holes did not answer ($$(tail -n 1 .build/audit.log | cut -d: -f1))." >&2; \
	  else cat .build/audit.log >&2; fi; exit 1; done

fmt: $(READY) ## Format, and fix what can be fixed by itself
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: $(READY) ## Measure ours beside what others have, into out/bench.json (ARGS="webhook cold" for some)
	@$(BIN)/python -m tests.bench $(ARGS)

proof: $(READY) ## Strike every call with every fault, live through faulty months, take guards away; into out/proof.json
	@$(BIN)/python -m tests.proof $(ARGS)

soak: $(READY) ## Live through more faulty months: from which seed on, and how many (SEEDS=1000:500)
	@$(BIN)/python -m tests.proof --out out/soak.json --seeds $(subst :, ,$(SEEDS)) seeds

budget: $(READY) ## Count anew what each unit of work asks of AWS, into infra/work.json
	@$(BIN)/python -m tests.budget

sizes: $(READY) ## Weigh what each function unpacks, built for Lambda (needs a network; ARGS=host does not)
	@$(BIN)/python -m infra.sizes $(ARGS)

load: $(READY) ## Send webhooks while the local stack's processes are killed, into out/load.json (MINUTES=20 SEED=7)
	@$(BIN)/python -m tests.load --minutes $(MINUTES) --seed $(SEED) $(ARGS)

synth: $(READY) ## Synthesise the stack for AWS into cdk.out (ARGS="-c name=value")
	@$(BIN)/python -m infra.node cdk synth --quiet $(ARGS)

deploy: $(READY) ## Deploy to the AWS account of this shell (ARGS="-c name=value")
	@$(BIN)/flywheel secrets make
	@$(BIN)/python -m infra.node cdk deploy $(ARGS)

lock: $(READY) ## Pin the requirements anew (ARGS=--upgrade for newer versions)
	@$(COMPILE) $(ARGS) requirements/dev.in -o requirements/dev.txt
	@$(COMPILE) -c requirements/dev.txt requirements/layer.in -o requirements/layer.txt
	@$(COMPILE) -c requirements/dev.txt requirements/report.in -o requirements/report.txt
	@$(COMPILE) -c requirements/dev.txt requirements/bootstrap.in -o requirements/bootstrap.txt

clean: ## Delete what was built; the environment stays
	@rm -rf .build .local cdk.out out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +

setup: $(READY) # a step of all the others

$(READY): requirements/bootstrap.txt requirements/dev.txt package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Flywheel needs Python 3.11 or newer as '$(PYTHON)'. Another one: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@test -x $(BIN)/python || { echo "Setting up: virtual environment"; $(PYTHON) -m venv .venv; }
	@echo "Setting up: pinned Python packages"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@echo "Setting up: pinned CDK command line"
	@$(BIN)/python -m infra.node npm ci --silent --no-audit --no-fund
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/$(BIN)/python" -P -m infra.cli "$$@"\n' "$(CURDIR)" "$(CURDIR)" > $(BIN)/flywheel
	@chmod +x $(BIN)/flywheel
	@touch $@
