"""The first source: an installed engine, on PATH or in the folder that a variable names."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from sensetig.engines.catalogue import Spec
from sensetig.engines.engine import Engine
from sensetig.engines.platforms import version_in, will_do

#: Seconds allowed for a program to print its version; slow on an SD card.
PATIENCE = 60.0


class Found(NamedTuple):
    """The result of a search.

    Args:
        engine: a suitable engine, or None.
        reasons: why the others are unsuitable, a sentence each.
    """

    engine: Engine | None
    reasons: tuple[str, ...] = ()


def find(spec: Spec, environ: Mapping[str, str], plugins: Collection[str] = ()) -> Found:
    """Look for an installed engine.

    Args:
        spec: the engine.
        environ: provides PATH and the variable of its home.
        plugins: for Telegraf, the required plugins; a foreign build may lack some.
    """
    reasons: list[str] = []
    for path, source in _candidates(spec, environ, reasons):
        program = program_of(spec, path)
        printed = output(program, spec.version_arguments)
        version = version_in(printed) if printed is not None else None
        if version is None:
            reasons.append(f"{program} does not say its version")
        elif not will_do(version, spec.accepts):
            reasons.append(f"{program} is version {version}, and it takes {spec.accepts}")
        elif absent := sorted(set(plugins) - set(_plugins(program) if plugins else ())):
            reasons.append(f"{program} was built without {', '.join(absent)}")
        else:
            return Found(Engine(spec.name, version, path, source), tuple(reasons))
    return Found(None, tuple(reasons))


def program_of(spec: Spec, path: Path) -> Path:
    """The program of an engine: the path itself, or the one in its home's ``bin``."""
    return path / "bin" / spec.programs[0] if spec.home else path


def output(program: Path, arguments: Collection[str]) -> str | None:
    """The output of a program, or None if it cannot run, fails, or takes too long."""
    try:
        run = subprocess.run(
            [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout if run.returncode == 0 else None


def _plugins(telegraf: Path) -> list[str]:
    return (output(telegraf, ("plugins",)) or "").split()


def _candidates(spec: Spec, environ: Mapping[str, str], reasons: list[str]) -> list[tuple[Path, str]]:
    found = []
    if spec.home and (home := environ.get(spec.home)):
        if program_of(spec, Path(home)).is_file():
            found.append((Path(home), spec.home))
        else:
            reasons.append(f"{spec.home} is {home}, which has no bin/{spec.programs[0]}")
    for name in spec.programs:
        program = shutil.which(name, path=environ.get("PATH"))
        if program is None:
            continue
        path = _home(spec, Path(program).resolve()) if spec.home else Path(program)
        if path is None:
            reasons.append(f"the folder that {program} belongs to was not found; name it in {spec.home}")
        elif path not in [known for known, _ in found]:
            found.append((path, "PATH"))
    return found


def _home(spec: Spec, program: Path) -> Path | None:
    """The home folder of a program: the parent of its ``bin``, or ``share`` in that parent."""
    above = program.parent.parent
    for home in (above, above / "share" / spec.name):
        if (home / "conf" / "defaults.ini").is_file() and program_of(spec, home).is_file():
            return home
    return None
