"""Packages of the operating system: installed by root on a Debian family, named in one command otherwise."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from sensetig.engines import catalogue, os_packages
from sensetig.engines.os_packages import Outcome, PackagesMissing, System

NOW = 1_800_000_000.0
MOSQUITTO = catalogue.load().brokers["mosquitto"]


class Machine:
    """A machine with a fake package database: answers queries of apt and dpkg, and records changes."""

    def __init__(self, folder: Path, *, debian: bool = True, root: bool = True, lists_age: float | None = 60) -> None:
        self.installed: set[str] = set()
        self.candidates: dict[str, str] = {}
        self.done: list[str] = []
        self.said: list[str] = []
        self.failure = ""
        if lists_age is not None:
            (folder / "mirror_main_Packages.lz4").touch()
            (folder / "partial").mkdir()
            os.utime(folder / "partial", (NOW - lists_age, NOW - lists_age))
        self.system = System(debian, root, folder, NOW, self.run)

    def run(self, command: Sequence[str]) -> Outcome:
        if command[0] == "dpkg-query":
            known = command[-1] in self.installed
            return Outcome(0, "installed") if known else Outcome(1, f"no packages found matching {command[-1]}")
        if command[0] == "apt-cache":
            return Outcome(
                0, f"{command[-1]}:\n  Installed: (none)\n  Candidate: {self.candidates.get(command[-1], '(none)')}\n"
            )
        assert command[:3] == ("apt-get", "-o", "DPkg::Lock::Timeout=120")
        self.done.append(" ".join(command[3:]))
        return Outcome(100, f"Reading lists\n{self.failure}\n") if self.failure else Outcome(0, "")


def test_root_on_debian_announces_and_installs_missing_packages(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.installed = {"gcc"}
    os_packages.ensure(["gcc", "libc6-dev"], machine.said.append, machine.system)
    assert machine.said == ["installing libc6-dev from the operating system's packages"]
    assert machine.done == ["install -y --no-install-recommends libc6-dev"]


def test_nothing_missing_is_nothing_done(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=False)
    machine.installed = {"gcc"}
    os_packages.ensure(["gcc"], machine.said.append, machine.system)
    assert machine.done == machine.said == []


@pytest.mark.parametrize("age", [None, 2 * os_packages.LISTS_AGE])
def test_old_or_absent_lists_are_fetched_first(tmp_path: Path, age: float | None) -> None:
    machine = Machine(tmp_path, lists_age=age)
    os_packages.ensure(["mosquitto"], machine.said.append, machine.system)
    assert machine.done == ["update", "install -y --no-install-recommends mosquitto"]


def test_who_is_not_root_gets_the_one_command(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=False)
    with pytest.raises(PackagesMissing, match=r"with: sudo apt-get install -y mosquitto$"):
        os_packages.ensure(["mosquitto"], machine.said.append, machine.system)
    assert machine.done == []


def test_who_is_not_root_and_has_no_lists_gets_the_command_that_fetches_them_first(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=False, lists_age=None)
    with pytest.raises(PackagesMissing, match=r"with: sudo apt-get update && sudo apt-get install -y gcc libc6-dev$"):
        os_packages.bring(catalogue.load().needs["cc"], machine.said.append, machine.system)
    assert machine.done == []


def test_another_family_gets_a_list_of_packages(tmp_path: Path) -> None:
    machine = Machine(tmp_path, debian=False)
    with pytest.raises(PackagesMissing, match="install mosquitto with this system's package manager"):
        os_packages.ensure(["mosquitto"], machine.said.append, machine.system)


def test_a_failure_of_apt_is_reported_with_its_last_output(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.failure = "E: You don't have enough free space in /var/cache/apt/archives/."
    with pytest.raises(PackagesMissing, match=r"^apt-get install failed: E: You don't have enough free space"):
        os_packages.ensure(["mosquitto"], machine.said.append, machine.system)


def test_a_program_comes_from_the_first_package_that_is_new_enough(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.candidates = {"rustc": "1.63.0+dfsg1-2", "rustc-web": "1.96.0+dfsg1-1~deb12u2"}
    os_packages.bring(catalogue.load().needs["rustc"], machine.said.append, machine.system)
    assert machine.done == ["install -y --no-install-recommends rustc-web"]


def test_a_compiler_brings_the_headers_along(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.candidates = {"gcc": "4:12.2.0-3"}
    os_packages.bring(catalogue.load().needs["cc"], machine.said.append, machine.system)
    assert machine.done == ["install -y --no-install-recommends gcc libc6-dev"]


def test_packages_that_are_all_too_old_are_not_installed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.candidates = {"golang-go": "2:1.19~1"}
    with pytest.raises(PackagesMissing, match=r"\(golang-go\) are older than Go 1\.21; get it from https://go\.dev/dl"):
        os_packages.bring(catalogue.load().needs["go"], machine.said.append, machine.system)
    assert machine.done == []


def test_a_broker_missing_from_all_lists_is_reported(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with pytest.raises(PackagesMissing, match=r"no package mosquitto"):
        os_packages.bring(MOSQUITTO, machine.said.append, machine.system)


@pytest.mark.parametrize(
    ("version", "minimum", "expected"),
    [
        ("2:1.24~2", "1.21", True),
        ("2:1.19~1", "1.21", False),
        ("0.66.0+ds1-1", "1.83", False),
        ("1.96.0+dfsg1-1~deb12u2", "1.83", True),
        ("odd", "1.83", False),
        ("odd", None, True),
    ],
)
def test_debian_versions_are_compared_without_epoch_and_revision(version: str, minimum: str, expected: bool) -> None:
    assert os_packages.is_new_enough(version, minimum) is expected


def test_systems_made_from_debian_are_of_its_family() -> None:
    assert os_packages.is_debian({"ID": "debian"})
    assert os_packages.is_debian({"ID": "raspbian", "ID_LIKE": "debian"})
    assert os_packages.is_debian({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"})
    assert not os_packages.is_debian({"ID": "fedora"})
    assert not os_packages.is_debian({})


def test_a_daemon_is_found_where_ordinary_users_do_not_look(tmp_path: Path) -> None:
    program = tmp_path / "mosquitto"
    program.touch(0o755)
    assert os_packages.program("mosquitto", {"PATH": str(tmp_path)}) == program
    assert os_packages.program("no-such-broker", {"PATH": str(tmp_path)}) is None
