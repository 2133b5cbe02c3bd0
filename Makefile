# Everything that is missing is set up inside the checkout (.frazil/) by scripts/setup.sh.
SHELL := /bin/bash
EXPERIMENTS ?= photodesorption
OUTDIR ?= results/demo
VARIANT ?= cpu
PROFILE ?= local

.PHONY: help setup demo progress docs test test-unit test-hpc check schnet images docker-image doctor rerun clean
.DEFAULT_GOAL := help

help: ## Say what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## Set up what is missing (demo, test and check do it by themselves)
	@scripts/setup.sh

demo: setup ## Run the demo into results/demo: make demo EXPERIMENTS=photodesorption,sticking
	@bin/frazil free "$(OUTDIR)" > /dev/null
	@.frazil/bin/nextflow run main.nf -profile demo --experiments "$(EXPERIMENTS)" --outdir "$(OUTDIR)" -resume
	@echo "Report: $(OUTDIR)/report.html"

test: setup ## Run all tests but that on a Slurm, by two workers
	@PATH="$$PWD/.frazil/venv/bin:$$PATH" OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile tests/unit tests/physics tests/pipeline

test-unit: setup ## Run the unit tests (after every change)
	@PATH="$$PWD/.frazil/venv/bin:$$PATH" OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile tests/unit

test-hpc: setup ## Run the test on a real Slurm with real images (as root on Debian; installs both)
	@PATH="$$PWD/.frazil/venv/bin:$$PATH" OMP_NUM_THREADS=1 pytest -rs tests/hpc

check: setup ## Lint, format and types
	@PATH="$$PWD/.frazil/venv/bin:$$PATH" && ruff check --quiet --output-format concise . && ruff format --check --quiet . && mypy src bin benchmarks --exclude benchmarks/apax_side.py

schnet: ## Set up SchNet for --infrared.dipole_model schnet (needs Debian's python3-torch)
	@scripts/schnet.sh

docs: ## Write the docs as pages into site/, the API's made of docstrings (an environment of its own in .frazil/docs)
	@test -x .frazil/docs/bin/mkdocs || { python3 -m venv .frazil/docs && .frazil/docs/bin/python -m pip --disable-pip-version-check install --quiet -r scripts/docs.txt; }
	@NO_MKDOCS_2_WARNING=1 .frazil/docs/bin/mkdocs build --quiet
	@echo "Docs: site/index.html"

images: ## Build the container images: make images IMAGES=deepmd VARIANT=cuda (needs Apptainer, no root)
	@VARIANT="$(VARIANT)" containers/build.sh $(IMAGES)

docker-image: ## Build one image for -profile docker, and push it: make docker-image NAME=HOST/USER/frazil (needs Docker)
	@containers/build.sh docker "$(NAME)"

doctor: ## Say what is missing on this machine: make doctor PROFILE=hpc
	@PYTHONPATH=src python3 -m frazil.doctor "$(PROFILE)"

rerun: ## Repeat a run and compare its tables: make rerun RUN=results/demo/run.json
	@python3 scripts/rerun.py "$(RUN)" $(if $(FOLDER),--folder "$(FOLDER)") $(if $(filter command,$(origin PROFILE)),--profile "$(PROFILE)")

progress: ## Say what the tasks of the running run do, with the time left: make progress (again every 5 s: watch -n 5 make progress)
	@bin/frazil progress "$(FOLDER)"

clean: ## Remove work files and caches (results/ and .frazil/ stay)
	@rm -rf work .nextflow .nextflow.log* .nf-test* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src bin tests -name __pycache__ -prune -exec rm -rf {} +
