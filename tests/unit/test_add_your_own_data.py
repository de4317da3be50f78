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

#: A path alone on its line, and the block that follows it.
FILES = re.findall(r"^`([\w./-]+)`\n\n```\w*\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


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


def test_its_failure_is_told_as_the_guide_shows_it(copy: Path) -> None:
    ran = _python(copy, "-m", "collectors", "open_files", "--file", "/nowhere")
    assert ran.returncode == 1
    assert ran.stderr in GUIDE


def test_it_is_complete_and_its_golden_case_holds(copy: Path) -> None:
    written = _python(copy, "-m", "sensetig", "reference")
    assert written.returncode == 0, written.stderr
    ran = _python(
        copy, "-m", "pytest", "-q", "-k", "open_files or belongs", "tests/test_cases.py", "tests/test_completeness.py"
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_row_builds(copy: Path) -> None:
    code = "from grafana.dashboards.rows.open_files import rows; print([row.title for row in rows()])"
    ran = _python(copy, "-c", code)
    assert (ran.stdout, ran.stderr) == ("['Open files']\n", "")


def test_guide_leads_to_the_dashboard_on_the_pi() -> None:
    checks = GUIDE[GUIDE.index("### The checks") :]
    steps = ("make reference", "make dashboards", "`make demo`", "telegraf_extra_collectors: [open_files]", "site.yml")
    places = [checks.find(step) for step in (*steps, "sensetig status", "make deploy HOST=")]
    assert -1 not in places
    assert places == sorted(places)


def test_its_snippet_runs_its_collector() -> None:
    snippet = tomllib.loads(dict(FILES)["telegraf/telegraf.d/open_files.conf"])
    (execd,) = snippet["inputs"]["execd"]
    assert execd["command"][1:] == ["-m", "collectors", "open_files", "--execd"]
