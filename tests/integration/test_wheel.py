"""The wheel: its contents, and that each help text needs only the packages of a documented set of extras."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sensetig import bundle

_PROJECT = tomllib.loads((bundle.root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]

#: Sets of extras; "click" is that library alone, which is all that a help may need.
SETS = ["click", "base", *(each for each in _PROJECT["optional-dependencies"] if each != "dev")]

#: Files of the bundle in the wheel: folder -> endings. What builds dashboards and alerts is of no use at run time.
BUNDLED = {
    "engines": {"go.mod", "go.sum"},
    "grafana/dashboards": {".json"},
    "grafana/provisioning": {".yaml"},
    "influxdb": {".flux", ".toml"},
    "mosquitto": {".acl", ".conf"},
    "systemd": {".conf", ".service", ".sysusers", ".timer"},
    "telegraf": {".conf"},
}

#: Hides the libraries that a set of extras does not install, and prints every help.
_PROBE = """
import json, sys
from importlib.abc import MetaPathFinder

wheel, hidden = sys.argv[1], frozenset(json.loads(sys.argv[2]))

class Hidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Hidden())
sys.path.insert(0, wheel)
import click
import sensetig
from sensetig.__main__ import main
assert sensetig.__file__.startswith(wheel), sensetig.__file__

def helps(command, words):
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from helps(command.get_command(context, name), [*words, name])

for words in helps(main, []):
    try:
        main([*words, "--help"], prog_name="sensetig", standalone_mode=False)
    except ModuleNotFoundError as error:
        sys.exit(f"sensetig {' '.join(words)} --help wants {error.name}")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installed wheel of this checkout, without any library."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    steps = ["wheel", "--wheel-dir", str(folder), str(bundle.root())], ["install", "--target", str(folder / "x")]
    for words in steps:
        built = [str(each) for each in folder.glob("*.whl")]
        done = subprocess.run(
            [*pip, words[0], "--no-deps", *words[1:], *built], capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, done.stderr
    return folder


def wanted(extras: str) -> set[str]:
    """The distributions that a set of extras resolves to, of those that are installed here."""
    if extras == "click":
        return {"click"}
    listed = [*_PROJECT["dependencies"], *(_PROJECT["optional-dependencies"][extras] if extras != "base" else ())]
    installed = {canonicalize_name(each.metadata["Name"]): each for each in distributions()}
    found: set[str] = set()
    waiting = [Requirement(each) for each in listed]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or name not in installed:
            continue
        found.add(name)
        for each in map(Requirement, installed[name].requires or ()):
            contexts = [{"extra": extra} for extra in requirement.extras or {""}]
            if each.marker is None or any(each.marker.evaluate({**default_environment(), **one}) for one in contexts):  # type: ignore[dict-item]
                waiting.append(each)
    return found


@pytest.mark.parametrize("extras", SETS)
def test_every_help_needs_no_more_than_is_installed(extras: str, wheel: Path) -> None:
    kept = wanted(extras)
    hidden = sorted(
        module
        for module, names in packages_distributions().items()
        if not kept & {canonicalize_name(name) for name in names} and module not in ("collectors", "sensetig")
    )
    assert ("numpy" in hidden) == ("numpy" not in kept)
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROBE, str(wheel / "x"), json.dumps(hidden)],
        capture_output=True,
        text=True,
        cwd=wheel,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: sensetig") > 20


def test_a_command_without_its_libraries_names_the_extra_that_brings_them(wheel: Path) -> None:
    probe = _PROBE.partition("def helps")[0] + 'main(["calibrate", "pi", "--list"], prog_name="sensetig")'
    done = subprocess.run(
        [sys.executable, "-P", "-c", probe, str(wheel / "x"), '["tomli_w"]'],
        capture_output=True,
        text=True,
        cwd=wheel,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: sensetig calibrate needs the library tomli_w, which is not installed: run pip install "
        "'sensetig[calibration]', or add calibration to collectors_extras where the playbook installs it\n"
    )


def test_every_command_has_a_summary_that_fits_and_begins_with_a_verb(wheel: Path) -> None:
    probe = _PROBE.partition("def helps")[0] + 'main(["--help"], prog_name="sensetig")'
    done = subprocess.run(
        [sys.executable, "-P", "-c", probe, str(wheel / "x"), "[]"],
        capture_output=True,
        text=True,
        cwd=wheel,
        timeout=240,
        check=True,
    )
    summaries = done.stdout.partition("Commands:\n")[2].splitlines()
    assert len(summaries) > 15
    assert [line for line in summaries if not re.fullmatch(r"  [a-z-]+ +[A-Z][a-z]+,? .*[^.]\.", line)] == []


def test_the_wheel_contains_exactly_the_files_used_at_run_time(wheel: Path) -> None:
    (file,) = wheel.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        names = {name.removeprefix("sensetig/bundle/") for name in archive.namelist() if "/bundle/" in name}
    root = bundle.root()
    expected = {
        str(path.relative_to(root))
        for folder, endings in BUNDLED.items()
        for path in (root / folder).rglob("*")
        if path.is_file() and (path.suffix in endings or path.name in endings)
    }
    assert names == expected
    assert {"grafana/dashboards/fleet.json", "grafana/provisioning/alerting/rules.yaml"} <= names
