"""Installed libraries: each is pinned by version and hash, listed in the SBOM, and checked where possible."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.golden import ROOT
from tools.audit import Check, audit, checks, reachable
from tools.sbom import build

REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(path: Path) -> dict[str, list[str]]:
    """The logical lines of a requirements file: each requirement with its hashes."""
    lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    found = {}
    for line in lines:
        requirement, *hashes = line.split(" --hash=")
        found[requirement.strip()] = [each.strip() for each in hashes]
    return found


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_requirement_has_a_version_of_the_lock_and_hashes(path: Path) -> None:
    locked = {Requirement(line) for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    versions = {(each.name, str(each.specifier)) for each in locked}
    for text, hashes in pins(path).items():
        requirement = Requirement(text)
        assert (requirement.name, str(requirement.specifier)) in versions, "run: make lock-hashes"
        assert hashes, text
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes)


def test_no_file_names_an_index() -> None:
    for path in REQUIREMENTS:
        assert "://" not in path.read_text(encoding="utf-8"), path


def test_every_extra_has_a_file_with_its_requirements() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    names = {path.stem for path in REQUIREMENTS}
    assert {*extras, "base", "demo", "lint", "all"} - {"build"} == names
    for extra in extras.keys() & names:
        there = {Requirement(text).name for text in pins(ROOT / "requirements" / f"{extra}.txt")}
        for wanted in map(Requirement, (*PROJECT["project"]["dependencies"], *extras[extra])):
            assert wanted.name.lower() in there | {"sensetig"}, f"{extra} lacks {wanted.name}; run: make lock-hashes"


def test_the_build_backend_is_the_one_that_the_project_names() -> None:
    (backend,) = PROJECT["build-system"]["requires"]
    assert backend in PROJECT["project"]["optional-dependencies"]["build"]
    for name in ("demo", "dev", "lint"):
        assert backend in pins(ROOT / "requirements" / f"{name}.txt")


@pytest.mark.parametrize(
    ("machine", "installed"),
    [
        ("x86_64", "install --require-hashes --requirement requirements/demo.txt"),
        ("aarch64", "install --require-hashes --requirement requirements/demo.txt"),
        ("armv7l", "install --constraint constraints.txt '.[build,camera,engines,report]'"),
        ("armv6l", "install --constraint constraints.txt '.[build,camera,engines,report]'"),
    ],
)
def test_make_installs_with_hashes_where_wheels_have_those_of_the_index(
    machine: str, installed: str, tmp_path: Path
) -> None:
    uname = tmp_path / "uname"
    uname.write_text(f"#!/bin/sh\necho {machine}\n")
    uname.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["make", "--dry-run", f"VENV={tmp_path}", f"{tmp_path}/.demo"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, own = (line for line in done.stdout.splitlines() if "-m pip" in line)
    assert first.endswith(installed)
    assert own.endswith("install --no-deps --no-build-isolation --editable .")


def test_pip_refuses_a_file_with_another_hash(tmp_path: Path) -> None:
    wheel = tmp_path / "six-1.0-py3-none-any.whl"
    wheel.write_bytes(b"not the pinned file")
    (tmp_path / "r.txt").write_text(f"six==1.0 --hash=sha256:{'0' * 64}\n")
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--no-index", "--find-links", tmp_path, "--require-hashes",
            "--no-deps", "--dest", tmp_path / "out", "--requirement", tmp_path / "r.txt",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_the_sbom_is_valid_and_lists_every_library(tmp_path: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    target = tmp_path / "a.json"
    build(target)
    text = target.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert document["metadata"]["component"]["name"] == "sensetig"
    listed = {(each["name"], each["version"]) for each in document["components"]}
    wanted = {Requirement(text) for text in pins(ROOT / "requirements" / "all.txt")}
    assert listed == {(each.name, str(each.specifier).removeprefix("==")) for each in wanted}


def test_the_same_pins_give_the_same_sbom(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        build(tmp_path / name, ROOT / "requirements" / "base.txt")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_requirements_file_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    import click

    with pytest.raises(click.ClickException, match="cannot be built"):
        build(tmp_path / "a.json", tmp_path / "missing.txt")


def checking(tmp_path: Path, status: int, program: str = sys.executable) -> Check:
    return Check("audit", "https://db.example/", (program, "-c", f"raise SystemExit({status})"), tmp_path)


def test_a_database_that_cannot_be_reached_is_one_line_and_no_failure(tmp_path: Path) -> None:
    said: list[str] = []
    assert audit([checking(tmp_path, 1)], said.append, lambda _: False) == 0
    assert said == ["audit: not checked, since its database at https://db.example/ cannot be reached from here"]


def test_a_program_that_is_not_installed_is_one_line_and_no_failure(tmp_path: Path) -> None:
    said: list[str] = []
    assert audit([checking(tmp_path, 1, "no-such-program")], said.append, lambda _: True) == 0
    assert said == ["audit: not checked, since no-such-program is not installed"]


@pytest.mark.parametrize("status", [0, 1])
def test_a_check_that_finds_something_fails(tmp_path: Path, status: int) -> None:
    said: list[str] = []
    assert audit([checking(tmp_path, status)], said.append, lambda _: True) == status
    assert said == []


def test_an_address_without_a_server_is_not_reachable() -> None:
    assert not reachable("http://127.0.0.1:9/")


def test_python_and_both_go_modules_are_checked() -> None:
    assert [each.name for each in checks()] == ["pip-audit", "govulncheck", "govulncheck"]


@pytest.mark.parametrize(
    ("role", "file", "name"),
    [
        ("collectors", "version.yml", "Install the collectors"),
        ("enrolment", "controller.yml", "Install the enrolment service and Ansible"),
    ],
)
def test_the_playbook_installs_libraries_with_hashes_and_the_package_without_libraries(
    role: str, file: str, name: str
) -> None:
    tasks = yaml.safe_load((ROOT / "ansible/roles" / role / "tasks" / file).read_text(encoding="utf-8"))
    blocks = [each for task in tasks for each in task.get("block", [])]
    (task,) = [each for each in blocks if each["name"] == name]
    text = yaml.safe_dump(task, width=1000)
    assert "--require-hashes" in text
    assert "--no-deps" in text
    assert "requirements" in text or "collectors_lists" in text


def test_the_hub_s_playbook_has_the_lists_of_libraries() -> None:
    known = yaml.safe_load((ROOT / "ansible/roles/enrolment/vars/main.yml").read_text(encoding="utf-8"))
    assert {"constraints.txt", "requirements"} <= set(known["enrolment_checkout"])


def test_an_extra_and_the_base_can_be_installed_together() -> None:
    """The playbook names a list for each extra; pip refuses two versions of a library."""
    versions: dict[str, set[str]] = {}
    for path in REQUIREMENTS:
        for text in pins(path):
            requirement = Requirement(text)
            versions.setdefault(f"{requirement.name};{requirement.marker}", set()).add(str(requirement.specifier))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize(("architecture", "hashed"), [("arm64", True), ("armhf", False)])
def test_install_checks_hashes_where_wheels_have_those_of_the_index(
    architecture: str, hashed: bool, tmp_path: Path
) -> None:
    """The function of ./install, with a pip that keeps its arguments and the file that it reads."""
    text = (ROOT / "install").read_text(encoding="utf-8")
    function = text[text.index("prepare_ansible() {") : text.index("\n}\n", text.index("prepare_ansible() {")) + 3]
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; exit; fi\n'
        f'echo "$*" > {tmp_path}/arguments\n'
        'while [ "$1" != --requirement ]; do shift; done\n'
        f'cp "$2" {tmp_path}/requirements\n'
    )
    python.chmod(0o755)
    script = (
        f"here={ROOT} installer={tmp_path}/installer log={tmp_path}/log wheels=\n"
        'refuse() { echo "$1"; exit 1; }\n'
        f"dpkg() {{ echo {architecture}; }}\n{function.replace('/usr/bin/python3', str(python))}\nprepare_ansible\n"
    )
    subprocess.run(["/bin/sh", "-eu", "-c", script], check=True, capture_output=True)
    read = (tmp_path / "requirements").read_text(encoding="utf-8")
    assert ("--require-hashes" in (tmp_path / "arguments").read_text()) is hashed
    assert ("--hash" in read) is hashed
    pinned = re.findall(r"^[a-z0-9-]+==\S+", (ROOT / "requirements" / "ansible.txt").read_text(), re.MULTILINE)
    assert re.findall(r"^[a-z0-9-]+==\S+", read, re.MULTILINE) == pinned
    assert hashed or "\\" not in read
