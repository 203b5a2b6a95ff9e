# Two commands matter: `make run` and `make test`. Both set up what they need.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# Files of tests side by side, two more than there are cores: over a third of the time they wait for sockets and disks.
# They begin in the order tests/conftest.py gives them, the longest first, and not by how many tests they have.
WORKERS := $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 6 ? n + 2 : 8)))
SHARED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Or each of the hundreds of processes that tests start would compile the program anew.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

setup: $(STAMP) ## virtual environment with locked dependencies; the command is .venv/bin/unhush

# The stamp, not the interpreter: .venv/bin/python is a link and would look older than what it depends on.
$(STAMP): requirements-dev.lock pyproject.toml .ci/setup
	@sh .ci/setup $(VENV)
	@touch $@

run: $(STAMP) ## start a node with its web page (makes an account on first start); options: ARGS="--listen …"
	@$(BIN)/unhush profile show >/dev/null 2>&1; \
	if [ $$? -eq 3 ]; then $(BIN)/unhush init --name "$${UNHUSH_NAME:-$$(id -un)}"; fi
	@exec $(BIN)/unhush run $(ARGS)

test: $(STAMP) ## all tests
	$(BIN)/pytest -m "not long" $(SHARED)

test-long: $(STAMP) ## the long runs: many seeds, many kills
	$(BIN)/pytest -m long --timeout 3600

check: $(STAMP) ## linter, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

format: $(STAMP) ## rewrite the code in house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: $(STAMP) ## two nodes, one lost, a third that still gets everything: narrated, under a minute
	@$(BIN)/python examples/first_voice.py

bench: $(STAMP) ## benchmarks; results under benchmarks/results
	$(BIN)/python benchmarks/run.py

lock: ## resolve the dependencies again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet pyproject.toml --group build -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet pyproject.toml --group build --group dev -o requirements-dev.lock

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help setup run test test-long check format demo bench lock clean
