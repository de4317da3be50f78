"""The list of collectors.

Every public module or package directly in ``collectors`` is a collector, except the shared libraries in
:data:`LIBRARIES`. To add a collector, add its module or package; there is no list to edit. A collector declares
``MEASUREMENTS``, ``SETTINGS`` and ``create`` (see :class:`collectors.core.api.Module`), and the first line of its
docstring is its summary in the help. Listing the collectors imports none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from typing import cast

from collectors.core.api import Module, Unavailable

#: Libraries in ``collectors`` that collectors share; everything else there is a collector.
LIBRARIES = frozenset({"core", "device_state", "messaging"})

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def catalogue() -> dict[str, str]:
    """Every collector with its summary, sorted by name."""
    return {name: _summary(path) for name, path in sorted(_modules())}


def load(name: str) -> Module | None:
    """The module of the collector *name*; None if there is no such collector.

    Raises Unavailable for a module that lacks a definition of :class:`collectors.core.api.Module`.
    """
    if not name.isidentifier() or name.startswith("_") or name in LIBRARIES:
        return None
    try:
        module = import_module(f"collectors.{name}")
    except ModuleNotFoundError as error:
        if error.name == f"collectors.{name}":
            return None
        raise
    missing = [each for each in ("MEASUREMENTS", "SETTINGS", "create") if not hasattr(module, each)]
    if missing:
        raise Unavailable(
            f"{module.__file__} is not a collector: it does not define {', '.join(missing)}; add that, or move a "
            "library into collectors/core or a collector's own package"
        )
    return cast("Module", module)


def _modules() -> Iterator[tuple[str, str]]:
    """Name and source file of each collector."""
    with os.scandir(_ROOT) as entries:
        for entry in entries:
            name, extension = os.path.splitext(entry.name)
            if name.startswith(("_", ".")) or name in LIBRARIES:
                continue
            path = os.path.join(entry.path, "__init__.py") if entry.is_dir() else entry.path
            if (extension == ".py" or entry.is_dir()) and os.path.isfile(path):
                yield name, path


def _summary(path: str) -> str:
    """The first line of a module's docstring."""
    with open(path, encoding="utf-8") as file:
        return file.readline().strip().removeprefix('"""').removesuffix('"""')
