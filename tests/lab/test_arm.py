"""Wheels for a Pi's Python, and the collectors' unit tests in an emulated Pi's userland."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.e2e import roots, wheels
from tests.lab.arm import ARM64, ARMHF, Architecture, emulated, libraries, resolve, run_tests
from tests.lab.conftest import fetched, made, need, work
from tests.lab.images import PROJECT, SUITE

VERSION = wheels.PYTHONS[SUITE]

#: Tests of what depends on the architecture: sizes of numbers, structures of the kernel, and extension modules.
#: Emulated, each test takes ten to twenty times as long.
TESTS = (
    "test_batch",
    "test_clock",
    "test_joystick",
    "test_pi",
    "test_sensehat_hat",
    "test_sensehat_psychrometrics",
    "test_sensehat_readings",
    "test_system",
    "test_system_disk",
    "test_system_parts",
)

#: qemu-user emulates vfork as fork, so that a program that is missing has the exit status 127.
_LEFT_OUT = "tests/unit/test_pi.py::test_a_missing_vcgencmd_is_no_error_by_its_name_and_one_by_its_path"

#: With libraries that have no wheels for 32 bits outside of piwheels.
WITH_NUMPY = ("test_metric", "test_camera_events", "test_camera_thumbnail")

_PROGRAMS = {
    "debootstrap": "debootstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
}
_PACKAGES = ("python3", "python3-psutil")


def extras() -> list[str]:
    """Every extra that an installation can have."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return sorted(set(project["optional-dependencies"]) - {"build", "dev", "lint"})


@pytest.mark.parametrize("suite", wheels.PYTHONS)
def test_every_extra_has_wheels_for_64_bits(suite: str, tmp_path: Path) -> None:
    fetched(lambda: resolve(ARM64, wheels.PYTHONS[suite], ",".join(extras()), tmp_path / "pins"))


@pytest.mark.parametrize(
    ("architecture", "wanted", "more"),
    [(ARM64, ("camera", "control", "mqtt"), WITH_NUMPY), (ARMHF, ("mqtt", "outbox"), ())],
    ids=["arm64", "armhf"],
)
def test_wheels_and_unit_tests_of_the_collectors(
    architecture: Architecture, wanted: tuple[str, ...], more: tuple[str, ...]
) -> None:
    need(_PROGRAMS)
    with work() as folder, emulated(architecture) as obstacle:
        if obstacle:
            pytest.skip(obstacle)
        root = made(lambda date: roots.unpacked(SUITE, date, architecture.name, _PACKAGES))
        installed = fetched(lambda: libraries(architecture, VERSION, wanted))
        tests = [f"tests/unit/{name}.py" for name in (*TESTS, *more)]
        done = run_tests(root, installed, folder / "work", [*tests, "--deselect", _LEFT_OUT])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout.splitlines()[-1])
