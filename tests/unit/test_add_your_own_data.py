"""The guide keeps its word: its files, copied from it, make a whole collector in a copy of this project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "tutorials" / "add-your-own-data.md").read_text(encoding="utf-8")

RULES = (ROOT / "docs" / "how-to" / "collector-rules.md").read_text(encoding="utf-8")


def _files(page: str) -> list[tuple[str, str]]:
    """Each path alone on its line, with the block that follows it."""
    return re.findall(r"^`([\w./-]+)`\n\n```\w*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


FILES = _files(GUIDE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the guide's files in it."""
    folder = tmp_path_factory.mktemp("guide")
    for name in ("collectors", "sensetig", "telegraf", "grafana", "tests", "influxdb", "mosquitto"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "docs" / "reference").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "reference" / "metrics.md", folder / "docs" / "reference")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, content in FILES:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def copy_with_dht22(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the parts that run a collector and build a row, with the module and the row of the rules."""
    folder = tmp_path_factory.mktemp("rules")
    for name in ("collectors", "grafana", "sensetig"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, content in _files(RULES):
        (folder / path).write_text(content, encoding="utf-8")
    return folder


def _python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env={**environment, "PYTHONPATH": str(copy), "SENSETIG_SETTINGS": os.devnull},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_guide_shows_every_part_of_a_collector() -> None:
    assert [path for path, _ in FILES] == [
        "collectors/open_files.py",
        "telegraf/telegraf.d/open_files.conf",
        "grafana/dashboards/rows/open_files.py",
        "tests/cases/open_files/one_batch/case.toml",
        "tests/cases/open_files/one_batch/file-nr",
        "tests/cases/open_files/one_batch/expected.out",
    ]


def test_its_collector_runs_on_this_machine(copy: Path) -> None:
    ran = _python(copy, "-m", "collectors", "open_files")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.match(r"open_files open_count=\d+i,used_percent=[\d.e-]+ \d{19}\n", ran.stdout)


def test_its_failure_is_reported_as_in_the_guide(copy: Path) -> None:
    ran = _python(copy, "-m", "collectors", "open_files", "--file", "/nowhere")
    assert ran.returncode == 1
    assert ran.stderr in GUIDE


def test_it_is_complete_and_its_golden_case_holds(copy: Path) -> None:
    written = _python(copy, "-m", "sensetig", "reference")
    assert written.returncode == 0, written.stderr
    # With a separate folder, because another run of pytest may clean the shared one at the same time.
    ran = _python(
        copy,
        *("-m", "pytest", "-q", "--basetemp", str(copy / "temporary"), "-k", "open_files or belongs"),
        *("tests/test_cases.py", "tests/test_completeness.py"),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_row_builds(copy: Path) -> None:
    code = "from grafana.dashboards.rows.open_files import rows; print([row.title for row in rows()])"
    ran = _python(copy, "-c", code)
    assert (ran.stdout, ran.stderr) == ("['Open files']\n", "")


def test_guide_leads_to_the_dashboard_on_the_pi() -> None:
    steps = ("make reference", "make dashboards   #", "`make demo`", "telegraf_extra_collectors: [open_files]")
    places = [GUIDE.find(step) for step in (*steps, "sudo ./install", "sensetig status", "make deploy HOST=")]
    assert -1 not in places
    assert places == sorted(places)


def test_its_snippet_runs_its_collector() -> None:
    snippet = tomllib.loads(dict(FILES)["telegraf/telegraf.d/open_files.conf"])
    (execd,) = snippet["inputs"]["execd"]
    assert execd["command"][1:] == ["-m", "collectors", "open_files", "--execd"]


def test_the_sensor_of_the_rules_fills_the_shared_measurement(copy_with_dht22: Path, tmp_path: Path) -> None:
    (tmp_path / "in_temp_input").write_text("21400\n")
    (tmp_path / "in_humidityrelative_input").write_text("45200\n")
    ran = _python(copy_with_dht22, "-m", "collectors", "dht22", "--folder", str(tmp_path), "--device", "shelf")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "environment,device=shelf,sensor=dht22 temperature_raw_celsius=21.4,humidity_raw_percent=45.2 " in ran.stdout


def test_the_sensor_of_the_rules_is_not_there(copy_with_dht22: Path, tmp_path: Path) -> None:
    ran = _python(copy_with_dht22, "-m", "collectors", "dht22", "--folder", str(tmp_path))
    assert (ran.returncode, ran.stdout) == (0, "")
    assert f"there is no sensor in {tmp_path}" in ran.stderr


def test_the_row_of_the_rules_shows_that_sensor_alone(copy_with_dht22: Path) -> None:
    code = (
        "from grafana.dashboards.rows.dht22 import rows; "
        "print([each.query for row in rows() for each in row.panels[0].build().targets])"
    )
    ran = _python(copy_with_dht22, "-c", code)
    assert ran.stderr == ""
    assert "dht22" in ran.stdout
