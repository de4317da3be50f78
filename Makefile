# SenseTIG: `make help` describes the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop demo-clean test unit bench chaos lint audit sbom dashboards pictures detector-pictures reference docs diagrams engines lock lock-hashes clean e2e lab deploy images push-images clean-images

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

DRAWS := 200
SEED := 0

chaos: $(VENV)/.dev ## Break the real engines at random and count every point: DRAWS=200 SEED=0 (hours)
	@$(BIN)/sensetig engines telegraf influxd nats-server
	$(BIN)/python -m tests.chaos --draws $(DRAWS) --seed $(SEED) $(CHAOS)

e2e: $(VENV)/.ansible ## Boot three Debian machines and run the playbook on them (as root; minutes)
	@$(BIN)/sensetig engines telegraf influxd nats-server
	SENSETIG_E2E=1 $(BIN)/python -m pytest -rs tests/e2e $(E2E)

lab: $(VENV)/.dev ## Run the collectors on a simulated board, camera and Raspberry Pi in QEMU (as root; minutes)
	SENSETIG_LAB=1 $(BIN)/python -m pytest -rs tests/lab $(LAB)

# The files for a Pi; the rest of the checkout stays here.
DEPLOYED := collectors sensetig engines grafana influxdb mosquitto systemd telegraf
SSH := ssh

deploy: ## Run this checkout's Python on a Pi at once: make deploy HOST=pi@pi.local
	@test -n "$(HOST)" || { echo "say where: make deploy HOST=pi@pi.local" >&2; exit 1; }
	@$(SSH) $(HOST) 'command -v rsync >/dev/null || sudo apt-get install --yes --quiet rsync; sudo mkdir -p /opt/sensetig/checkout'
	@rsync --recursive --links --times --perms --chmod=F644,D755 --compress --delete --exclude=__pycache__ \
		--rsh="$(SSH)" --rsync-path="sudo rsync" $(DEPLOYED) $(HOST):/opt/sensetig/checkout/
	@$(SSH) $(HOST) sudo sh -s < ansible/development.sh

# Images: podman where it is installed, else docker. With HARDWARE=1, on Raspberry Pi OS, they get the libraries of the
# Sense HAT and of cameras on the ribbon cable from its archive.
ENGINE := $(or $(notdir $(shell command -v podman)),docker)
IMAGES := collectors camera vision proxy
REGISTRY := localhost
TAG := latest
PLATFORMS := linux/amd64,linux/arm64
KEYRING := /usr/share/keyrings/raspberrypi-archive-keyring.gpg
IMAGE_OPTIONS :=
HARDWARE :=
IMAGE_BUILD = --file containers/Containerfile --target $$image $(if $(HARDWARE),--secret id=raspberrypi$(,)src=$(KEYRING)) \
	$(IMAGE_OPTIONS)
, := ,

images: ## Build the container images for this machine: ENGINE=docker TAG=1.0 HARDWARE=1
	@for image in $(IMAGES); do \
		$(ENGINE) build $(IMAGE_BUILD) --tag $(REGISTRY)/sensetig-$$image:$(TAG) . || exit; \
	done

push-images: ## Build and push the container images for amd64 and arm64: REGISTRY=ghcr.io/me TAG=1.0
	@test "$(REGISTRY)" != localhost || { echo "say where: make push-images REGISTRY=ghcr.io/me" >&2; exit 1; }
ifeq ($(ENGINE),podman)
	@for image in $(IMAGES); do name=$(REGISTRY)/sensetig-$$image:$(TAG); \
		{ ! podman manifest exists $$name || podman manifest rm $$name; } && \
		podman build $(IMAGE_BUILD) --platform $(PLATFORMS) --manifest $$name . && \
		podman manifest push --all $$name docker://$$name || exit; \
	done
else
	@for image in $(IMAGES); do \
		docker buildx build $(IMAGE_BUILD) --platform $(PLATFORMS) --tag $(REGISTRY)/sensetig-$$image:$(TAG) --push . || exit; \
	done
endif

clean-images: ## Remove container images that newer ones have replaced
	@$(ENGINE) image prune --force --filter label=org.opencontainers.image.vendor=sensetig

lint: $(VENV)/.ansible ## Check style, types, prose, commit subjects and known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m tools.prose
	$(BIN)/python -m tools.subjects
	$(BIN)/python -m tools.audit
	@$(MAKE) --no-print-directory docs
	$(BIN)/shellcheck install ansible/development.sh sensetig/security/on_the_pi/firstrun.sh .ci/run \
		containers/run-mosquitto containers/run-proxy containers/run-telegraf containers/sensetig containers/setup
	cd ansible && ../$(BIN)/yamllint --strict .
	cd ansible && PATH="$(CURDIR)/$(BIN):$$PATH" ../$(BIN)/ansible-lint --offline --strict

audit: $(VENV)/.dev ## Look for known vulnerabilities in the pinned libraries (a part of lint)
	$(BIN)/python -m tools.audit

sbom: $(VENV)/.dev ## Write the software bill of materials (CycloneDX) to dist/
	$(BIN)/python -m tools.sbom

dashboards: $(VENV)/.dev ## Build the dashboards' JSON and the alert rules from their Python
	$(BIN)/python -m grafana.dashboards
	$(BIN)/python -m grafana.alerting

pictures: $(VENV)/.dev ## Take the pictures of the README and the docs (needs Grafana and Chromium; minutes)
	@$(BIN)/sensetig engines telegraf influxd
	$(BIN)/python -m tools.pictures $(PICTURES)

detector-pictures: $(VENV)/.dev ## Draw the pictures of the detector's settings in the docs
	$(BIN)/python -m tools.detector_pictures

reference: $(VENV)/.dev ## Build the reference pages in docs and the variable tables of Ansible's roles
	$(BIN)/sensetig reference
	$(BIN)/python ansible/role_readmes.py

docs: $(VENV)/.dev ## Build the documentation site in dist/site, and check its links and diagrams (a part of lint)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

diagrams: $(VENV)/.dev ## Draw the diagrams of the documentation that have changed (needs npm and Chromium)
	$(BIN)/python -m tools.diagrams

engines: $(VENV)/.demo ## Get Telegraf, InfluxDB and Grafana from the first source that serves
	@$(BIN)/sensetig engines

# The extras that each file in requirements/ pins with hashes. `make` installs the first three; each of the others has
# the libraries for an installation with that extra.
INSTALLED := camera sensehat emulator control vision mqtt nats outbox engines report calibration ansible enrolment debug
EXTRAS_demo := build camera engines report
EXTRAS_dev := build camera sensehat emulator dev docs
EXTRAS_lint := build camera sensehat emulator dev docs ansible lint
EXTRAS_all := $(INSTALLED)
COMPILE := uv pip compile pyproject.toml --universal --quiet --no-header --no-annotate --no-emit-index-url --python-version 3.11

lock: ## Choose the newest versions that fit, and pin them with their hashes (needs uv)
	$(COMPILE) --all-extras --upgrade --output-file constraints.txt
	@$(MAKE) --no-print-directory lock-hashes

lock-hashes: ## Pin the versions in constraints.txt with their hashes (needs uv)
	@mkdir -p requirements
	$(COMPILE) --constraint constraints.txt --generate-hashes --output-file requirements/base.txt
	$(foreach name,demo dev docs lint all $(INSTALLED),$(COMPILE) --constraint constraints.txt --generate-hashes \
		$(addprefix --extra ,$(or $(EXTRAS_$(name)),$(name))) --output-file requirements/$(name).txt &&) true

clean: ## Remove the environment and everything built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Both environments are in one folder; a stamp records each installed set of packages.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "SenseTIG needs Python 3.11 or later; $(PYTHON) is older: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
		|| { echo "This Python cannot make environments: apt-get install python3-venv" >&2; exit 1; }
	@echo "creating the Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Every library is pinned with the hashes of its files; the package is built with the installed tools. On
# 32-bit ARM, the wheels of piwheels have other hashes: only the versions are pinned there.
ifneq ($(filter armv6l armv7l,$(shell uname -m)),)
comma := ,
empty :=
INSTALL = $(PIP) install --constraint constraints.txt '.[$(subst $(empty) $(empty),$(comma),$(EXTRAS_$(1)))]'
else
INSTALL = $(PIP) install --require-hashes --requirement requirements/$(1).txt
endif
OWN = $(PIP) install --no-deps --no-build-isolation --editable .

$(VENV)/.demo: $(VENV)/.python pyproject.toml requirements/demo.txt
	@echo "installing SenseTIG and what it needs (a few minutes at the first time)"
	@$(call INSTALL,demo)
	@$(OWN)
	@touch $@

$(VENV)/.dev: $(VENV)/.demo requirements/dev.txt
	@echo "installing what the tests need"
	@$(call INSTALL,dev)
	@$(OWN)
	@touch $@

$(VENV)/.ansible: $(VENV)/.dev requirements/lint.txt
	@echo "installing Ansible"
	@$(call INSTALL,lint)
	@touch $@
