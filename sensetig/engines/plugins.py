"""The Telegraf plugins that the configuration names, so that a built Telegraf has these and no others.

The snippets follow a convention that makes a scan of lines sufficient: ``##`` begins prose, and a single ``#`` begins
configuration that the reader may enable. Enabled and optional configuration both count. The files are not parsed as
TOML, because a ``${VARIABLE}`` may appear where TOML expects a value, and because TOML would drop the optional lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

_TABLE = re.compile(r"\s*(?:#(?!#)\s*)?\[\[?(inputs|outputs|processors|aggregators|secretstores)\.(\w+)")
_FORMAT = re.compile(r"""\s*(?:#(?!#)\s*)?data_format\s*=\s*["'](\w+)["']""")

#: The role of a data format in a plugin of each kind; a processor both parses and serializes.
_ROLES = {"inputs": ("parsers",), "outputs": ("serializers",), "processors": ("parsers", "serializers")}


def named(text: str) -> frozenset[str]:
    """The plugins that one configuration file names, as Telegraf's build tags: ``inputs.cpu``, ``parsers.influx``."""
    found = set()
    kind = ""
    for line in text.splitlines():
        if table := _TABLE.match(line):
            kind = table[1]
            found.add(f"{kind}.{table[2]}")
        elif data_format := _FORMAT.match(line):
            found.update(f"{role}.{data_format[1]}" for role in _ROLES.get(kind, ()))
    return frozenset(found)


def configured(folder: Path) -> frozenset[str]:
    """The plugins that the files under *folder* name; Telegraf reads those whose names end in ``.conf``."""
    found: set[str] = set()
    for file in sorted(folder.rglob("*.conf")):
        found |= named(file.read_text(encoding="utf-8"))
    return frozenset(found)


def fingerprint(plugins: Iterable[str]) -> str:
    """A short hash of this list, independent of its order."""
    return sha256("\n".join(sorted(plugins)).encode()).hexdigest()[:12]
