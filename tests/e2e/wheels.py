"""A wheelhouse: the wheels that a machine without a way out installs the collectors from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from filelock import FileLock
from packaging.requirements import Requirement

from tests.e2e import outside
from tests.e2e.roots import cache

#: The Python of each suite.
PYTHONS = {"bookworm": "3.11", "noble": "3.12", "trixie": "3.13"}

#: The platforms of a 64-bit PC.
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64")

#: Counted up when the same versions are chosen in another way.
_FORM = 2


def house(
    project: Path, extras: str, *, pythons: Mapping[str, str] = PYTHONS, platforms: Sequence[str] = PLATFORMS
) -> Path:
    """A folder of wheels for every suite's Python, made again when the pinned versions change.

    Args:
        project: the checkout.
        extras: separated by commas.
        pythons: versions by suite.
        platforms: tags of wheels; the first that has a wheel is used.
    """
    constraints = project / "constraints.txt"
    others = () if platforms == PLATFORMS else platforms
    wanted = repr((dict(pythons), extras, _FORM, *others)).encode()
    pinned = constraints.read_bytes() + (project / "pyproject.toml").read_bytes() + wanted
    folder = cache() / f"wheels-{sha256(pinned).hexdigest()[:12]}"
    with FileLock(f"{folder}.lock"):
        if folder.is_dir():
            return folder
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            pins = made / ".pins"
            for version in pythons.values():
                pins.write_text(pinned_for(version, constraints.read_text()))
                _download(project, extras, pins, version, platforms, made)
            pins.unlink()
            for own in made.glob("sensetig-*.whl"):
                own.unlink()  # the playbook brings the one of the checkout
            made.chmod(0o755)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return folder


def pinned_for(version: str, constraints: str) -> str:
    """The pinned versions for one Python: pip asks the Python that it runs on, whichever it downloads for."""
    environment = {"python_version": version, "python_full_version": f"{version}.0"}
    kept = []
    for line in constraints.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                kept.append(f"{requirement.name}{requirement.specifier}\n")
    return "".join(kept)


def _download(
    project: Path, extras: str, constraints: Path, version: str, platforms: Sequence[str], folder: Path
) -> None:
    outside.pip(
        "download", f"wheels for Python {version}", cache(),
        "--dest", folder, "--constraint", constraints, "--only-binary=:all:",
        "--python-version", version, *(f"--platform={platform}" for platform in platforms), f"{project}[{extras}]",
        seconds=600,
    )  # fmt: skip
