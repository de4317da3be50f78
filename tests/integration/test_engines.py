"""Telegraf has the plugins that the configuration names, and where it was built here, no others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sensetig import bundle
from sensetig.engines import catalogue, locate, sources

TELEGRAF = catalogue.load().engines["telegraf"]

#: Plugins that are always built: the influx parser's other half, the default parser of inputs.exec, and the parser that
#: Telegraf's configuration reader needs.
COMPANIONS = {"parsers.influx_upstream", "parsers.nagios", "parsers.csv"}


def plugins_of(program: Path) -> set[str]:
    run = subprocess.run([program, "plugins"], capture_output=True, text=True, check=True, timeout=120)
    return set(run.stdout.split())


@pytest.mark.engines
def test_telegraf_has_every_plugin_that_the_configuration_names(telegraf: Path) -> None:
    assert sources.wanted_plugins(TELEGRAF, bundle.root()) <= plugins_of(telegraf)


@pytest.mark.engines
def test_a_built_telegraf_has_no_plugin_that_nothing_names(telegraf: Path) -> None:
    engine = locate("telegraf")
    assert engine is not None
    if "a build" not in engine.source:
        pytest.skip(f"this Telegraf is not built here, but comes from {engine.source}")
    wanted = sources.wanted_plugins(TELEGRAF, bundle.root())
    assert plugins_of(telegraf) - wanted <= COMPANIONS


@pytest.mark.engines
def test_the_engines_are_of_versions_that_will_do(telegraf: Path, influxd: Path) -> None:
    said = subprocess.run([telegraf, "--version"], capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.startswith(f"Telegraf {TELEGRAF.version.rpartition('.')[0]}.")
    said = subprocess.run([influxd, "version"], capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.startswith("InfluxDB v2.")
