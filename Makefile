VENV := .local/venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := operator/src job-image academic/src deploy/local/src tests
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help lint format test-unit test lock

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(READY): deploy/requirements.lock deploy/local/bootstrap.sh
	deploy/local/bootstrap.sh

lint: $(READY) ## Check style, types and the layers
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports --cache-dir .local/import_linter_cache

format: $(READY) ## Format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

test-unit: $(READY) ## Run the tests that need no cluster (seconds)
	$(BIN)/pytest tests/unit

test: $(READY) ## Run every test, on real parts
	$(BIN)/pytest

lock: $(READY) ## Resolve the dependencies again and pin them
	$(BIN)/uv lock --upgrade
	$(BIN)/uv export --quiet --all-packages --all-extras --all-groups --no-emit-workspace \
		--no-annotate --no-header --output-file deploy/requirements.lock
