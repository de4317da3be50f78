"""``sensetig engines``: output and exit status."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sensetig.__main__ import main
from tests.unit.engines.programs import prints, script


def run(folder: Path, *arguments: str) -> Result:
    """The command on a machine whose PATH is this folder, with an empty cache."""
    environ = {"PATH": str(folder / "bin"), "SENSETIG_CACHE": str(folder / "cache"), "GRAFANA_HOME": None}
    return CliRunner().invoke(main, ["engines", *arguments], env=environ)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with Telegraf and InfluxDB, and without Grafana."""
    # "plugins" is answered with more than the bundle can name: a program that has all of them.
    root = Path(__file__).resolve().parents[3]
    from sensetig.engines import catalogue, sources

    wanted = sources.wanted_plugins(catalogue.load().engines["telegraf"], root)
    lines = "\n".join(sorted(wanted))
    script(
        tmp_path / "bin" / "telegraf",
        f'if [ "$1" = plugins ]; then\nwhile read -r line; do echo "$line"; done <<END\n{lines}\nEND\n'
        "else echo Telegraf 1.39.3; fi",
    )
    script(tmp_path / "bin" / "influxd", "echo 'InfluxDB v2.9.1 (git: none)'")
    return tmp_path


def test_available_engines_are_listed_with_version_source_and_path(machine: Path) -> None:
    result = run(machine, "telegraf", "influxd")
    assert result.exit_code == 0
    assert result.stdout == (
        f"Telegraf 1.39.3 from PATH: {machine}/bin/telegraf\nInfluxDB 2.9.1 from PATH: {machine}/bin/influxd\n"
    )


def test_a_missing_grafana_is_one_sentence_and_no_failure(machine: Path) -> None:
    result = run(machine, "--check", "telegraf", "influxd", "grafana")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Grafana is not here; everything but the dashboards works without it; to have")


def test_a_missing_nats_is_one_sentence_and_no_failure(machine: Path) -> None:
    result = run(machine, "--check", "telegraf", "influxd", "nats-server")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("NATS is not here; one hub works without it; to keep")


def test_a_missing_influxdb_is_a_failure(machine: Path) -> None:
    (machine / "bin" / "influxd").unlink()
    result = run(machine, "--check", "telegraf", "influxd")
    assert result.exit_code == 1
    assert result.stderr == "InfluxDB is not here; without it nothing is stored\n"
    assert result.stdout.startswith("Telegraf 1.39.3 from PATH")


def test_a_broker_that_is_there_is_listed(machine: Path) -> None:
    prints(machine / "bin" / "mosquitto", "")
    result = run(machine, "mosquitto")
    assert result.exit_code == 0
    assert result.stdout == f"Mosquitto from the operating system: {machine}/bin/mosquitto\n"


def test_an_unknown_name_is_refused_with_the_known_ones(machine: Path) -> None:
    result = run(machine, "prometheus")
    assert result.exit_code == 2
    assert (
        "there is no engine 'prometheus'; there are telegraf, influxd, grafana, nats-server, mosquitto" in result.stderr
    )
