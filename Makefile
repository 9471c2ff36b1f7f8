# SPDX-License-Identifier: GPL-3.0-or-later
# The checks run in a staged copy of the checkout (tests/tools/stage.py) with the tools of a virtual environment of their
# own (tests/tools/venv). Both lie in the user's cache directory; neither needs activating.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

in_stage := tests/tools/with --stage
ansible_test := $(in_stage) python tests/tools/run_ansible_test.py
shell_scripts := $$(git ls-files -co --exclude-standard .ci extensions tests | xargs grep -lE '^\#!/usr/bin/env bash')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: lab lab-down lab-status
lab: ## start the lab (a real Ceph and a real Kubernetes on this machine), or leave it running
	tests/lab/lab up
lab-down: ## stop the lab
	tests/lab/lab down
lab-status: ## show what of the lab is running
	tests/lab/lab status

.PHONY: demo
demo: ## play ten weeks of snapshot, backup, consolidate and restore in the lab
	tests/demo/run

.PHONY: venv stage
venv: ## print the path of the virtual environment with the tools
	@tests/tools/venv
stage: ## print the path of the staged collection
	@$(in_stage) pwd

.PHONY: test
test: ## everything below, whatever fails on the way, with the totals at the end
	@tests/tools/run-checks lint sanity unit unit-oldest build lab integration molecule molecule-oldest

.PHONY: lint
lint: ## ruff, mypy, ansible-lint, antsibull-docs, antsibull-changelog, shellcheck
	$(in_stage) ruff check
	$(in_stage) ruff format --check
	$(in_stage) mypy --package ansible_collections.rbd_backup.gfs.plugins
	$(in_stage) ansible-lint
	$(in_stage) antsibull-docs lint-collection-docs . --plugin-docs --validate-collection-refs=all
	$(in_stage) antsibull-changelog lint
	shellcheck --exclude=SC2317 --external-sources --source-path=SCRIPTDIR $(shell_scripts)

.PHONY: format
format: ## let ruff rewrite the checkout
	"$$(tests/tools/venv)/bin/ruff" check --fix
	"$$(tests/tools/venv)/bin/ruff" format

.PHONY: sanity
sanity: ## ansible-test sanity
	$(ansible_test) sanity --junit

.PHONY: unit
unit: ## ansible-test units
	$(ansible_test) units --python "$$("$$(tests/tools/venv)/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

.PHONY: unit-oldest
unit-oldest: ## units of module_utils on Python 3.9, the oldest that modules run on, where it is installed
	$(ansible_test) --where-installed 3.9 units --target-python venv/3.9 --requirements tests/unit/plugins/module_utils/

.PHONY: integration
integration: ## tests in the lab, which is started when it is not up; those that break the lab come last, one by one
	rc=0; \
	tests/tools/with --lab pytest tests/integration -m 'not disruptive' --numprocesses 4 --dist loadfile --no-loadscope-reorder \
	    --durations 10 \
	    --junitxml=tests/output/junit/integration.xml || rc=1; \
	tests/tools/with --lab pytest tests/integration -m disruptive --durations 10 \
	    --junitxml=tests/output/junit/integration-disruptive.xml || rc=1; \
	exit $$rc

.PHONY: molecule
molecule: ## the roles converge in the lab, a second time without change
	tests/tools/with --lab --stage molecule test

.PHONY: molecule-oldest
molecule-oldest: ## the same with the oldest ansible-core and libraries that are supported
	tests/tools/with --lab --oldest --stage molecule test

.PHONY: build
build: ## build the collection, install it into an empty path, run its playbooks from there by their full names
	$(in_stage) tests/tools/check-build

.PHONY: soak
soak: ## the random and kill suites with their full counts
	RBD_SOAK=1 tests/tools/with pytest tests/unit
	RBD_SOAK=1 tests/tools/with --lab pytest tests/integration

.PHONY: bench
bench: ## measure us beside the tools themselves in the lab; BENCH='--repeats 3 one pod' chooses
	tests/tools/with --lab tests/bench/run $(BENCH)
