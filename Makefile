# Everything that is missing is set up inside the checkout (.frazil/) by scripts/setup.sh.
SHELL := /bin/bash
EXPERIMENTS ?= photodesorption
OUTDIR ?= results/demo

.PHONY: help setup demo test check clean
.DEFAULT_GOAL := help

help: ## Say what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

setup: ## Set up what is missing (demo, test and check do it by themselves)
	@scripts/setup.sh

demo: setup ## Run the demo into results/demo: make demo EXPERIMENTS=photodesorption,sticking
	@.frazil/bin/nextflow run main.nf -profile demo --experiments "$(EXPERIMENTS)" --outdir "$(OUTDIR)" -resume
	@echo "Report: $(OUTDIR)/report.html"

test: setup ## Run the tests
	@PATH="$$PWD/.frazil/venv/bin:$$PATH" OMP_NUM_THREADS=1 pytest

check: setup ## Lint, format and types
	@PATH="$$PWD/.frazil/venv/bin:$$PATH" && ruff check --quiet --output-format concise . && ruff format --check --quiet . && mypy src bin

clean: ## Remove work files and caches (results/ and .frazil/ stay)
	@rm -rf work .nextflow .nextflow.log* .nf-test* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src bin tests -name __pycache__ -prune -exec rm -rf {} +
