"""``./install`` and its requirements: help, documents, and a playbook without collections or a package index."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.golden import ROOT

ANSIBLE = ROOT / "ansible"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "install", *arguments], capture_output=True, text=True, check=False)


def options() -> set[str]:
    return set(re.findall(r"^  (--[a-z-]+)", run("--help").stdout, re.MULTILINE))


def test_help_names_every_option_of_the_script() -> None:
    cases = re.findall(r"^    (--[^)]+)\)", (ROOT / "install").read_text(), re.MULTILINE)
    assert {option for case in cases for option in case.split(" | ")} == options()


def test_the_page_on_installing_has_every_option() -> None:
    page = (ROOT / "docs" / "how-to" / "install.md").read_text()
    assert {option for option in options() if option not in page} == {"--help"}


@pytest.mark.parametrize(
    "page",
    [
        "README.md", "docs/how-to/air-gapped.md", "docs/how-to/from-one-pi-to-a-fleet.md", "docs/how-to/install.md",
        "docs/how-to/remove.md", "docs/how-to/tls.md", "docs/tutorials/classroom.md", "docs/tutorials/first-pi.md",
    ],
)  # fmt: skip
def test_the_documents_use_options_that_exist(page: str) -> None:
    lines = re.findall(r"\./install( --[^\n`]*)?", (ROOT / page).read_text())
    assert lines
    assert {option for line in lines for option in re.findall(r"--[a-z-]+", line)} <= options()


@pytest.mark.parametrize("arguments", [["--hup"], ["--site"], ["--purge"], ["--edge-of", "-oProxyCommand=x"], ["site"]])
def test_a_wrong_option_is_one_sentence(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def tasks(nodes: Any) -> list[dict[str, Any]]:
    found = []
    for node in nodes if isinstance(nodes, list) else []:
        inner = [node[key] for key in ("tasks", "pre_tasks", "block", "rescue", "always") if key in node]
        found += [task for each in inner for task in tasks(each)] if inner else [node]
    return found


@pytest.mark.parametrize(
    "path", sorted([*ANSIBLE.glob("*.yml"), *ANSIBLE.glob("tasks/*.yml"), *ANSIBLE.glob("roles/*/*/*.yml")]),
    ids=lambda path: path.relative_to(ANSIBLE).as_posix(),
)  # fmt: skip
def test_tasks_use_modules_of_ansible_core_only(path: Path) -> None:
    # The package of all collections is larger than everything else that ./install puts on a card.
    modules = {key for task in tasks(yaml.safe_load(path.read_text())) for key in task if "." in key}
    assert {key for key in modules if not key.startswith("ansible.builtin.")} == set()


def wheel_command(folder: Path) -> list[str]:
    """The command that the playbook uses to build the collectors' wheel."""
    text = (ANSIBLE / "roles" / "collectors" / "tasks" / "wheel.yml").read_text()
    (task,) = (each for each in yaml.safe_load(text) if each["name"] == "Build the wheel from the checkout")
    values = {
        "{{ ansible_playbook_python }}": sys.executable,
        "{{ collectors_built.path }}": str(folder),
        "{{ sensetig_checkout }}": str(ROOT),
    }
    return [values.get(each, each) for each in task["ansible.builtin.command"]["argv"]]


def test_the_playbook_builds_the_wheel_without_a_network(tmp_path: Path) -> None:
    isolated = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow a namespace without a network")
    subprocess.run([*isolated, *wheel_command(tmp_path)], check=True)
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["sensetig"]


def test_the_installers_environment_has_the_builder_of_the_wheel() -> None:
    pinned = (ROOT / "requirements" / "ansible.txt").read_text()
    assert re.search(r"^hatchling==", pinned, re.MULTILINE)
    assert not re.search(r"^(ansible|ansible-lint|black|yamllint)==", pinned, re.MULTILINE)
