"""The configuration that ships, in the real Telegraf: checked whole, each documented form run, and nothing lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import urllib3
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from collectors.core.line_protocol_parser import decode_lines
from collectors.core.registry import catalogue
from sensetig import bundle
from sensetig.declarations import collector_module
from sensetig.demo.testbed import influxdb as local_influxdb
from sensetig.demo.testbed import ports, processes
from sensetig.influxdb.prepare import setup
from tests.golden import find_cases, prepare
from tests.integration.conftest import InfluxDB

ROOT = bundle.root()
TELEGRAF = ROOT / "telegraf"
BASE_ENVIRONMENT = {"SENSETIG_PYTHON": sys.executable, "SENSETIG_TELEGRAF_TOKEN": "unused"}


def _run(
    telegraf: Path, *arguments: str | Path, folder: Path = ROOT, environ: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [telegraf, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environ, **BASE_ENVIRONMENT},
        timeout=300,
        check=False,
    )


def test_the_whole_configuration_passes_telegrafs_check_without_a_warning(telegraf: Path) -> None:
    ran = _run(
        telegraf,
        "config",
        "check",
        "--strict-env-handling",
        "--config",
        TELEGRAF / "telegraf.conf",
        "--config-directory",
        TELEGRAF / "telegraf.d",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "W!" not in ran.stdout + ran.stderr
    assert "E!" not in ran.stdout + ran.stderr
    assert (ran.stdout + ran.stderr).count("Loading config") == 1 + len(list((TELEGRAF / "telegraf.d").glob("*.conf")))


@pytest.mark.parametrize("alternative", sorted(path.name for path in (TELEGRAF / "alternatives").glob("*.conf")))
def test_each_alternative_passes_the_check_in_the_place_of_a_snippet(telegraf: Path, alternative: str) -> None:
    ran = _run(
        telegraf,
        "config",
        "check",
        "--strict-env-handling",
        "--config",
        TELEGRAF / "telegraf.conf",
        "--config",
        TELEGRAF / "alternatives" / alternative,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "W!" not in ran.stdout + ran.stderr


def _documented_exec_form(collector: str) -> str:
    """The commented block for inputs.exec of a snippet, uncommented."""
    snippet = (TELEGRAF / "telegraf.d" / f"{collector}.conf").read_text()
    block = re.search(r"^# \[\[inputs\.exec\]\]\n(?:# .*\n?)+", snippet, re.MULTILINE)
    assert block is not None, f"{collector}.conf documents no form for inputs.exec"
    return re.sub(r"^# ", "", block[0], flags=re.MULTILINE)


def _polled() -> list[str]:
    """The collectors that Telegraf asks for each batch; what follows events or lines has no form for inputs.exec."""
    snippets = {name: TELEGRAF / "telegraf.d" / f"{name}.conf" for name in catalogue()}
    inputs = {name: tomllib.loads(snippet.read_text()) for name, snippet in snippets.items() if snippet.is_file()}
    execd = {name: content.get("inputs", {}).get("execd", []) for name, content in inputs.items()}
    return [name for name, plugins in execd.items() if any(plugin["signal"] == "STDIN" for plugin in plugins)]


@pytest.mark.parametrize("collector", _polled())
def test_the_documented_exec_form_of_each_collector_emits_its_measurements(
    telegraf: Path, tmp_path: Path, collector: str
) -> None:
    """Run on the input of one of the collector's golden cases: the first that has samples."""
    case = next(
        case
        for case in find_cases()
        if case.collector == collector
        and case.status == 0
        and not case.wants_data
        and "up=1" in (case.folder / "expected.out").read_text()
    )
    arguments, environment = prepare(case, tmp_path)
    form = tomllib.loads(_documented_exec_form(collector))["inputs"]["exec"][0]
    words = [*form["commands"][0], *arguments]
    config = tmp_path / "exec.conf"
    config.write_text(
        "[agent]\nomit_hostname = true\n[[outputs.discard]]\n[[inputs.exec]]\n"
        f"commands = [{words!r}]\ntimeout = {form['timeout']!r}\ndata_format = {form['data_format']!r}\n"
    )
    ran = _run(telegraf, "--strict-env-handling", "--test", "--config", config, folder=case.folder, environ=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = "\n".join(line.removeprefix("> ") for line in ran.stdout.splitlines() if line.startswith("> "))
    emitted = {metric.series.measurement for metric in decode_lines(lines)}
    assert "collector" in emitted
    assert emitted & {measurement.name for measurement in collector_module(collector).MEASUREMENTS}


@pytest.mark.parametrize("snippet", ["clock", "outbox"])
def test_a_one_shot_collector_that_fails_is_reported_as_down(telegraf: Path, tmp_path: Path, snippet: str) -> None:
    program = tmp_path / "python"
    down = f'collector,collector={snippet} up=0i,reason=\\"broken\\"'
    program.write_text(f'#!/bin/sh\necho "{down}"\necho "E! {snippet}: broken" >&2\nexit 1\n')
    program.chmod(0o755)
    config = TELEGRAF / "telegraf.d" / f"{snippet}.conf"
    ran = subprocess.run(
        [telegraf, "--strict-env-handling", "--test", "--config", config],
        capture_output=True,
        text=True,
        env={**os.environ, "SENSETIG_PYTHON": str(program)},
        timeout=300,
        check=False,
    )
    assert f"collector={snippet}" in ran.stdout, ran.stderr
    assert "up=0i" in ran.stdout
    assert 'reason="broken"' in ran.stdout
    assert f"{snippet}: broken" in ran.stderr


#: A collector that numbers its lines, so that a test can detect losses and duplicates.
_COUNTER = """
import sys, time
number = 0
for _ in sys.stdin:
    for _ in range(10):
        print(f"numbered n={number}i {time.time_ns()}")
        number += 1
    print(number, file=open(sys.argv[1], "w"))
    sys.stdout.flush()
time.sleep(3)  # of a process that ends, Telegraf may lose lines that are still in the pipe
"""


def _await(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until *condition* answers True; raises RetryError when the time is up."""
    Retrying(retry=retry_if_result(lambda met: not met), stop=stop_after_delay(seconds), wait=wait_fixed(0.2))(
        condition
    )


def _numbers(url: str, token: str) -> list[int]:
    answer = urllib3.request(
        "GET",
        f"{url}/query",
        fields={"db": "raw", "q": "SELECT n FROM numbered", "epoch": "ns"},
        headers={"Authorization": f"Token {token}"},
    )
    series = answer.json()["results"][0].get("series", [])
    return sorted(value for each in series for _, value in each["values"])


def test_points_collected_while_influxdb_is_down_or_killed_arrive_once(
    telegraf: Path, influxd: Path, tmp_path: Path
) -> None:
    port = ports.any_free()
    counter, count, snippets = tmp_path / "counter.py", tmp_path / "count", tmp_path / "telegraf.d"
    counter.write_text(_COUNTER)
    snippets.mkdir()
    (snippets / "numbered.conf").write_text(
        f'[[inputs.execd]]\ncommand = ["{sys.executable}", "{counter}", "{count}"]\n'
        'signal = "STDIN"\ninterval = "200ms"\ndata_format = "influx"\n'
    )

    def counted() -> int:
        return int(count.read_text() or 0) if count.exists() else 0

    # The token has to be known before Telegraf starts; this InfluxDB makes it, and is stopped again.
    running, url = local_influxdb.start(influxd, tmp_path / "data", port, tmp_path / "influxd.log")
    identities = [running]
    try:
        tokens = setup(
            url,
            organisation="sensetig",
            user="sensetig",
            tokens=tmp_path / "tokens",
            definitions=ROOT / "influxdb",
            say=lambda _: None,
        ).tokens
        processes.stop([running])
        agent = processes.start(
            "Telegraf",
            [telegraf, "--config", TELEGRAF / "telegraf.conf", "--config-directory", snippets],
            log=tmp_path / "telegraf.log",
            environment={
                "SENSETIG_INFLUXDB_URL": url,
                "SENSETIG_TELEGRAF_TOKEN": tokens.telegraf,
                "SENSETIG_FLUSH_INTERVAL": "500ms",
            },
        )
        identities.insert(0, agent)
        _await(lambda: counted() >= 50, 180)
        running, _ = local_influxdb.start(influxd, tmp_path / "data", port, tmp_path / "influxd.log")
        identities.append(running)
        _await(lambda: len(_numbers(url, tokens.grafana)) >= 50, 240)
        process = running.process()
        assert process is not None
        process.kill()
        process.wait(60)
        killed_at = counted()
        _await(lambda: counted() >= killed_at + 50, 180)
        running, _ = local_influxdb.start(influxd, tmp_path / "data", port, tmp_path / "influxd.log")
        identities.append(running)
        _await(lambda: len(_numbers(url, tokens.grafana)) >= killed_at + 50, 240)
        processes.stop([agent], seconds=120)
        numbers = _numbers(url, tokens.grafana)
        assert numbers == list(range(len(numbers))), "each number once, and none left out"
        assert len(numbers) >= counted()
    finally:
        processes.stop(identities)


def test_a_wrong_token_is_logged_and_telegraf_keeps_running(telegraf: Path, influxdb: InfluxDB, tmp_path: Path) -> None:
    log = tmp_path / "telegraf.log"
    (tmp_path / "telegraf.d").mkdir()
    shutil.copy(TELEGRAF / "telegraf.d" / "telegraf.conf", tmp_path / "telegraf.d")
    agent = processes.start(
        "Telegraf",
        [telegraf, "--config", TELEGRAF / "telegraf.conf", "--config-directory", tmp_path / "telegraf.d"],
        log=log,
        environment={
            "SENSETIG_INFLUXDB_URL": influxdb.url,
            "SENSETIG_TELEGRAF_TOKEN": "a-token-that-is-wrong",
            "SENSETIG_INTERVAL": "200ms",
            "SENSETIG_FLUSH_INTERVAL": "200ms",
        },
    )
    try:
        _await(lambda: "401 Unauthorized" in log.read_text(), 180)
        assert agent.process() is not None
        assert "a-token-that-is-wrong" not in log.read_text()
    finally:
        processes.stop([agent])
