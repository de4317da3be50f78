# SenseTIG: every target explains itself in `make help`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop demo-clean test unit bench lint dashboards reference engines lock clean e2e deploy

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Run the whole bundle on this machine; Ctrl-C stops it
	@$(BIN)/sensetig demo

demo-stop: $(VENV)/.demo ## Stop what a demo with --keep has left running
	@$(BIN)/sensetig demo --stop

demo-clean: $(VENV)/.demo ## Stop the demo and remove its data, tokens and logs
	@$(BIN)/sensetig demo --clean

test: $(VENV)/.dev ## Get what is missing and run all tests, on the real engines
	@$(BIN)/sensetig engines
	$(BIN)/python -m tests $(TESTS)

unit: $(VENV)/.dev ## Run the tests that need no engine, on every push
	$(BIN)/python -m tests tests/unit tests/test_cases.py tests/test_completeness.py

bench: $(VENV)/.dev ## Measure speed and memory, side by side with what they are compared to
	@$(BIN)/sensetig engines
	$(BIN)/python -m tests.bench $(BENCH)

e2e: $(VENV)/.ansible ## Boot three Debian machines and run the playbook on them (as root; minutes)
	@$(BIN)/sensetig engines telegraf influxd nats-server
	SENSETIG_E2E=1 $(BIN)/python -m pytest -rs tests/e2e $(E2E)

# What runs on a Pi; the rest of the checkout stays here.
DEPLOYED := collectors sensetig engines grafana influxdb mosquitto systemd telegraf
SSH := ssh

deploy: ## Run this checkout's Python on a Pi at once: make deploy HOST=pi@pi.local
	@test -n "$(HOST)" || { echo "say where: make deploy HOST=pi@pi.local" >&2; exit 1; }
	@$(SSH) $(HOST) 'command -v rsync >/dev/null || sudo apt-get install --yes --quiet rsync; sudo mkdir -p /opt/sensetig/checkout'
	@rsync --recursive --links --times --perms --chmod=F644,D755 --compress --delete --exclude=__pycache__ \
		--rsh="$(SSH)" --rsync-path="sudo rsync" $(DEPLOYED) $(HOST):/opt/sensetig/checkout/
	@$(SSH) $(HOST) sudo sh -s < ansible/development.sh

lint: $(VENV)/.ansible ## Check style, types, prose and commit subjects
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m tools.prose
	$(BIN)/python -m tools.subjects
	cd ansible && ../$(BIN)/yamllint --strict .
	cd ansible && PATH="$(CURDIR)/$(BIN):$$PATH" ../$(BIN)/ansible-lint --offline --strict

dashboards: $(VENV)/.dev ## Build the dashboards' JSON and the alert rules from their Python
	$(BIN)/python -m grafana.dashboards
	$(BIN)/python -m grafana.alerting

reference: $(VENV)/.dev ## Build the reference pages in docs and the variable tables of Ansible's roles
	$(BIN)/sensetig reference
	$(BIN)/python ansible/role_readmes.py

engines: $(VENV)/.demo ## Get Telegraf, InfluxDB and Grafana from the first source that serves
	@$(BIN)/sensetig engines

lock: ## Choose the newest versions that fit, and write them to constraints.txt (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --upgrade --quiet --no-header --no-annotate \
		--no-emit-index-url --python-version 3.11 --output-file constraints.txt

clean: ## Remove the environment and everything built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The two environments are one folder; a stamp tells what has been installed into it, and from which versions.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "SenseTIG needs Python 3.11 or later; $(PYTHON) is older: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
		|| { echo "This Python cannot make environments: apt-get install python3-venv" >&2; exit 1; }
	@echo "creating the Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing SenseTIG and what it needs (a few minutes at the first time)"
	@$(PIP) install --constraint constraints.txt --editable '.[camera,engines]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@echo "installing what the tests need"
	@$(PIP) install --constraint constraints.txt --editable '.[camera,sensehat,emulator,dev]'
	@touch $@

$(VENV)/.ansible: $(VENV)/.dev
	@echo "installing Ansible"
	@$(PIP) install --constraint constraints.txt --editable '.[camera,sensehat,emulator,dev,ansible]'
	@touch $@
