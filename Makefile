# Every target makes what it needs: a virtual environment in .venv, by uv where it is installed, else by venv and pip.
PYTHON ?= $(firstword $(foreach v,3.14 3.13 3.12 3.11,$(shell python$(v) -c 'print("python$(v)")' 2>/dev/null)) python3)
BIN := .venv/bin
READY := .venv/.ready
# The dev group brings one, where none is installed.
UV = $(shell command -v uv || echo $(BIN)/uv)
PYTEST := $(BIN)/python -m pytest
# A process for each core and two more, since many tests wait for a process or for time; at most four.
PARALLEL = -n $(shell $(BIN)/python -c 'import os; print(min(4, (os.cpu_count() or 1) + 2))') --dist=worksteal

# Else each process of the tests, and each server that they start, would compile everything again.
export PYTHONDONTWRITEBYTECODE :=

OF_PROCESSES = tests/cli/test_doctor.py tests/cli/test_ask.py tests/cli/test_doors.py tests/cli/test_completion.py \
  tests/cli/test_install_command.py tests/cli/test_output.py tests/store/test_copying.py tests/observation tests/jobs

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-long test-lowest check lint cover golden docs format bench bench-fleet build site pictures bundle release audit clean clean-dist

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(READY): pyproject.toml uv.lock
	@echo "Installing into .venv what this needs (once; a minute or more, from the package index) ..."
	@if command -v uv >/dev/null 2>&1; then uv sync --locked --compile-bytecode; else \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed (make PYTHON=...)"; exit 1; }; \
	  $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" \
	  && $(BIN)/python -m pip install --progress-bar on --editable . --group dev; fi
	@echo "Installed."
	@touch $(READY)

run: $(READY) ## See it work: a client, the server, and Ollama (or the built-in simulator)
	@$(BIN)/ollama-mcp-server demo

test: $(READY) ## Run the tests
	$(PYTEST) $(PARALLEL) -m "not slow and not long and not live"

test-slow: $(READY) ## Run the tests that take minutes, need Node or a package index
	$(PYTEST) -m "slow and not long and not live" --timeout=600

test-long: $(READY) ## Run the soak (ten minutes), the fleet's faults (an hour), Claude Code on a terminal, README's steps
	$(PYTEST) -s -m "long and not live"

test-lowest: $(READY) ## Run the tests with the lowest versions that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest --resolution lowest-direct --editable . --group dev
	.venv-lowest/bin/python -m pytest $(PARALLEL) -m "not slow and not long and not live"

check: lint cover ## Lint, types, generated files, and the tests with coverage: what must be green

lint: $(READY) ## Lint, types, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python docs/generate.py --check

cover: $(READY) ## Run the tests with branch coverage and hold it to the floor
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -q $(PARALLEL) -m "not slow and not long and not live"
	@# What only processes of their own show: commands, jobs that outlive a server, what is told of calls, workers.
	$(BIN)/coverage run -m pytest -q $(PARALLEL) -m "slow and not long and not live" $(OF_PROCESSES)
	@# One after another: they tell the dead from the living by time. Without those that show little more, and wait.
	$(BIN)/coverage run -m pytest -q -m "slow and not long and not live" tests/fleet \
	  --ignore tests/fleet/test_faults.py --ignore tests/fleet/test_ending.py --ignore tests/fleet/test_clocks.py
	@$(BIN)/coverage combine -q
	$(BIN)/coverage report

golden: $(READY) ## Rewrite the golden files from what the server says now
	UPDATE_GOLDEN=1 $(PYTEST) -q tests/golden tests/guidance/test_golden.py

docs: $(READY) ## Rewrite the generated tables and schema
	$(BIN)/python docs/generate.py

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format .

bench: $(READY) ## Measure start, calls beside servers from npm, throughput, memory, a thousand calls at once
	$(BIN)/python -m bench.server
	$(BIN)/python -m bench.calls
	$(BIN)/python -m bench.call_path
	$(BIN)/python -m bench.load

bench-fleet: $(READY) ## Measure workers, replicas and their PostgreSQL beside a plain loop; takes minutes
	$(BIN)/python -m bench.fleet --largest 1000000

build: $(READY) ## Build sdist and wheel into dist/
	$(BIN)/python -m hatchling build

site: $(READY) ## Build the site of docs/ into dist/site; a broken link or anchor fails it
	@UV_PROJECT_ENVIRONMENT=.venv-site $(UV) sync --quiet --locked --only-group site
	@NO_MKDOCS_2_WARNING=1 .venv-site/bin/mkdocs build --strict
	@echo "Open dist/site/index.html"

pictures: $(READY) ## Make the pictures of README and the site anew, from what the program prints (needs Node and Chromium)
	@$(BIN)/python -m docs.pictures

bundle: $(READY) ## Write the extension of Claude Desktop into dist/
	$(BIN)/python -m bundles

release: clean-dist check audit build ## Check, audit and build, with a bill of materials (CycloneDX) beside it
	$(BIN)/python -m bundles --release
	$(UV) export --quiet --locked --no-dev --all-extras --format cyclonedx1.5 --output-file dist/sbom.cdx.json
	@ls -l dist

audit: $(READY) ## Look the locked dependencies up among the published vulnerabilities (needs the network, else says so)
	@$(UV) export --quiet --locked --no-dev --all-extras --no-emit-project --output-file .venv/locked.txt
	@log=$$($(UV) tool run --quiet --from "pip-audit>=2.10,<3" pip-audit --disable-pip --no-deps -r .venv/locked.txt 2>&1); code=$$?; \
	  echo "$$log"; [ $$code -eq 0 ] || ! echo "$$log" | grep -qiE "connection|resol|timed out|unreachable" || \
	  { echo "Nothing was audited: the index or its list of vulnerabilities does not answer."; exit 0; }; exit $$code

clean-dist:
	@rm -rf dist

clean: ## Remove everything that can be made again
	rm -rf .venv .venv-lowest .venv-site dist .coverage .coverage.* htmlcov .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
