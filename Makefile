# CLUSTER=local: the cluster that `make cluster` starts. CLUSTER=current: the one that kubectl
# points at; LOAD says how its nodes get the images: kind, minikube, k3d or registry.example/team/
CLUSTER := local
LOAD :=

# Of make simulate: its schedules.
FIRST := 0
COUNT := 1000

# Of make bench: jobs of a burst, pairs of bursts, BackgroundJobs over which the operator restarts.
N := 1000
ROUNDS := 5
STORED := 10000
# Jobs of the mirror whose pages are measured.
HISTORY := 1000000

BIN := .local/venv/bin
READY := .local/venv/.ready
LOCAL := $(BIN)/python -m bgjobs_local --cluster '$(CLUSTER)' --load '$(LOAD)'
SOURCES := operator/src job-image academic/src deploy/local/src tests
export PYTHONDONTWRITEBYTECODE := 1
export HYPOTHESIS_STORAGE_DIRECTORY := .local/hypothesis

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit simulate bench pictures lint format cluster cluster-down images load deploy lock

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: $(READY) ## Start a real Kubernetes, install bgjobs, run jobs on real input
	@$(LOCAL) demo

test: $(READY) ## Run every test, on real parts
	$(BIN)/pytest

test-unit: $(READY) ## Run the tests that need no cluster (seconds)
	$(BIN)/pytest tests/unit

simulate: $(READY) ## Try the operator on COUNT drawn schedules of faults, or replay one: SEED=7
	@$(BIN)/python -m tests.faults.simulation $(if $(SEED),--seed $(SEED),--first $(FIRST) --count $(COUNT))

bench: $(READY) ## Measure BackgroundJobs beside plain Jobs: N=1000 ROUNDS=5 STORED=10000
	@$(BIN)/python -m tests.bench --jobs $(N) --rounds $(ROUNDS) --stored $(STORED)
	@$(BIN)/python -m tests.bench.submitting
	@$(BIN)/python -m tests.bench.pages --jobs $(HISTORY)

pictures: $(READY) ## Take pictures of the dashboard's pages and states, into .local/pictures
	$(BIN)/python -m tests.pictures .local/pictures

lint: $(READY) ## Check style, types and the layers
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports --cache-dir .local/import_linter_cache

format: $(READY) ## Format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

cluster: $(READY) ## Start the local Kubernetes, or mend what died of it
	@$(LOCAL) up

cluster-down: $(READY) ## Remove the local Kubernetes and its data
	@$(LOCAL) down

images: $(READY) ## Build the container images and load them
	@$(LOCAL) images

load: $(READY) ## Give an image archive to the local cluster: IMAGE=path.tar
	@$(LOCAL) load $(IMAGE)

deploy: $(READY) ## Install bgjobs and the academic service, or upgrade them, with the images as they are now
	@$(LOCAL) deploy

lock: $(READY) ## Resolve the dependencies again and pin them
	$(BIN)/uv lock --upgrade
	$(BIN)/uv export --quiet --all-packages --all-extras --all-groups --no-emit-workspace \
		--no-annotate --no-header --output-file deploy/requirements.lock

$(READY): deploy/requirements.lock deploy/local/bootstrap.sh
	deploy/local/bootstrap.sh
