"""The data file says one thing, and the same as the Go module."""

from __future__ import annotations

import re

import pytest

from sensetig import bundle
from sensetig.engines import catalogue
from sensetig.engines.platforms import will_do

CATALOGUE = catalogue.load()
BUILT = [spec for spec in CATALOGUE.engines.values() if spec.build]
ARCHIVED = [spec for spec in CATALOGUE.engines.values() if spec.package]


def go_module(spec: catalogue.Spec) -> str:
    assert spec.build is not None
    return (bundle.root() / spec.build.module / "go.mod").read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", CATALOGUE.engines.values(), ids=lambda spec: spec.name)
def test_the_version_that_sources_give_is_one_that_will_do(spec: catalogue.Spec) -> None:
    assert will_do(spec.version, spec.accepts)
    assert spec.package is None or spec.package.version.split("-")[0] == spec.version


@pytest.mark.parametrize("spec", CATALOGUE.engines.values(), ids=lambda spec: spec.name)
def test_an_engine_has_a_source_other_than_an_installed_one(spec: catalogue.Spec) -> None:
    assert spec.package or spec.build


@pytest.mark.parametrize("spec", ARCHIVED, ids=lambda spec: spec.name)
def test_an_archive_is_reached_safely_and_its_key_is_known(spec: catalogue.Spec) -> None:
    assert spec.package is not None
    archive = spec.package.archive
    assert archive.url.startswith("https://")
    assert archive.key.startswith("https://")
    assert re.fullmatch(r"[0-9A-F]{40}", archive.fingerprint)


@pytest.mark.parametrize("spec", BUILT, ids=lambda spec: spec.name)
def test_the_go_module_pins_the_same_version(spec: catalogue.Spec) -> None:
    assert spec.build is not None
    required = dict(re.findall(r"^\s+(\S+) v(\S+)", go_module(spec), re.MULTILINE))
    module = spec.build.package.partition("/cmd/")[0]
    assert required[module] == spec.version


@pytest.mark.parametrize("spec", BUILT, ids=lambda spec: spec.name)
def test_the_go_module_names_each_built_package_as_a_tool(spec: catalogue.Spec) -> None:
    assert spec.build is not None
    tools = re.findall(r"^(?:tool )?\s*([\w./-]+)$", go_module(spec).partition("require")[0], re.MULTILINE)
    assert spec.build.package in tools
    assert spec.build.pkg_config is None or spec.build.pkg_config in tools


@pytest.mark.parametrize("spec", BUILT, ids=lambda spec: spec.name)
def test_a_built_engine_reports_the_version_it_is(spec: catalogue.Spec) -> None:
    assert spec.build is not None
    assert any(value.removeprefix("v") == spec.version for value in spec.build.variables.values())
    assert all(need in CATALOGUE.needs for need in spec.build.needs)


def test_nats_does_not_move_the_versions_that_telegraf_is_made_of() -> None:
    modules = {spec.name: spec.build.module for spec in BUILT if spec.build}
    assert modules == {"telegraf": "engines", "influxd": "engines", "nats-server": "engines/nats"}


def test_the_dashboards_and_nats_can_be_done_without() -> None:
    assert {name: spec.needed for name, spec in CATALOGUE.engines.items()} == {
        "telegraf": True,
        "influxd": True,
        "grafana": False,
        "nats-server": False,
    }
