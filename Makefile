# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The Python that starts everything: only its standard library is needed. The tools live in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SCENARIO ?= default
RUN := $(PYTHON) testbed/quickstart
STEPS := $(PYTHON) tests/run

.PHONY: help quickstart status clean distclean setup setup-dev test test-slow lint unit sanity integration molecule \
	benchmark docs requirements

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  LOCAL_FEDERATION (imagine), LOCAL_PREFIX (10.213), LOCAL_STATE_DIR and LOCAL_CACHE_DIR say which local federation, where."

quickstart: ## Bring up the local three-site federation and ask a deployed module for a prediction
	@$(RUN) up

status: ## Show the local federation: sites, nodes, versions, addresses, how to log in
	@$(RUN) status

clean: ## Take the local federation away: nodes, networks, secrets, the Docker daemon it started
	@$(RUN) clean

distclean: ## clean, and also the cache of binaries and images, and .venv
	@$(RUN) distclean

setup: ## Make .venv with what the quickstart needs
	@$(RUN) setup

setup-dev: ## Make .venv with what the tests need
	@$(RUN) setup --dev

test: ## Run everything that continuous integration runs: lint, unit, sanity, integration, Molecule
	@$(STEPS) lint unit sanity integration molecule

test-slow: ## Run the long checks (killed runs, lost sites, restoration, growth)
	@$(STEPS) slow

lint: ## ruff, mypy, yamllint, ansible-lint, shellcheck, antsibull, build of the tarball
	@$(STEPS) lint

unit: ## Unit tests with coverage
	@$(STEPS) unit

sanity: ## ansible-test sanity on the built collection
	@$(STEPS) sanity

integration: ## Integration tests that need no federation
	@$(STEPS) integration

molecule: ## One Molecule scenario: make molecule SCENARIO=default
	@$(STEPS) molecule:$(SCENARIO)

benchmark: setup ## Measure converge times against the floor, and image pushes against skopeo and Docker
	@.venv/bin/python benchmarks/run
	@.venv/bin/python benchmarks/images

docs: setup-dev ## Make the reference pages of modules and roles in docs/reference
	@mkdir -p docs/reference && chmod go-w docs/reference
	@PATH=$(CURDIR)/.venv/bin:$$PATH ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.collections .venv/bin/antsibull-docs collection --use-current --output-format simplified-rst \
	  --squash-hierarchy --cleanup everything --dest-dir docs/reference imagine.platform

requirements: setup ## Pin requirements/*.txt again after a change of *.in
	@.venv/bin/python -m venv .venv/pip-tools
	@.venv/pip-tools/bin/python -m pip install --quiet pip-tools
	@# run.txt is a constraint of dev.txt, and constraints have no extras; elsewhere pip wants a pinned extra pinned as one.
	@cd requirements && for set in run:--strip-extras dev:--no-strip-extras; do \
	  CUSTOM_COMPILE_COMMAND="make requirements" ../.venv/pip-tools/bin/pip-compile --quiet --generate-hashes $${set#*:} \
	    --allow-unsafe --no-emit-find-links --no-emit-index-url --output-file $${set%:*}.txt $${set%:*}.in; done
