"""The desired state of InfluxDB, read from the files in ``influxdb/``: buckets, mappings and tasks as data.

``buckets.toml``
    A section for each bucket: ``retention_days``, ``description`` and, to override InfluxDB's default,
    ``shard_group_days``.
``mappings.toml``
    A list of ``[[mapping]]``: the ``bucket`` that InfluxQL reads as a ``retention_policy`` of a ``database``.
``tasks/*.flux``
    Tasks, each named in its own ``option task``.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from sensetig.errors import SetupError

DAY_SECONDS = 24 * 60 * 60

_TASK_NAME = re.compile(r'^option\s+task\s*=\s*\{[^}]*?\bname:\s*"([^"]+)"', re.MULTILINE)


class Bucket(NamedTuple):
    """A bucket. A value of 0 seconds means forever (retention), or InfluxDB's default (shard group)."""

    name: str
    description: str
    retention_seconds: int
    shard_group_seconds: int = 0


class Mapping(NamedTuple):
    """The InfluxQL name of a bucket."""

    database: str
    retention_policy: str
    bucket: str
    default: bool


class Task(NamedTuple):
    """A task in Flux; *file* is for messages."""

    name: str
    flux: str
    file: str


class Definitions(NamedTuple):
    """The desired state of an InfluxDB."""

    buckets: tuple[Bucket, ...]
    mappings: tuple[Mapping, ...]
    tasks: tuple[Task, ...]


def read(folder: Path) -> Definitions:
    """Read a folder of definitions. Raises SetupError with the file, the key and the expected value."""
    buckets = parse_buckets(_text(folder / "buckets.toml"), str(folder / "buckets.toml"))
    mappings: tuple[Mapping, ...] = ()
    if (folder / "mappings.toml").exists():
        file = folder / "mappings.toml"
        mappings = parse_mappings(_text(file), str(file), tuple(bucket.name for bucket in buckets))
    tasks = tuple(parse_task(_text(file), str(file)) for file in sorted((folder / "tasks").glob("*.flux")))
    return Definitions(buckets, mappings, tasks)


def parse_buckets(text: str, file: str) -> tuple[Bucket, ...]:
    """The buckets of a ``buckets.toml``. Raises SetupError."""
    buckets = []
    for name, section in _toml(text, file).items():
        if not isinstance(section, dict):
            raise SetupError(f"{file}: {name} is outside a section; a bucket is a section such as [raw]")
        where = f"{file}: [{name}]"
        days = {"retention_days": (int, True), "shard_group_days": (int, False), "description": (str, False)}
        values = _keys(section, days, where)
        for key in ("retention_days", "shard_group_days"):
            if values.get(key, 0) < 0:
                raise SetupError(f"{where} {key} is {values[key]}; it must be a number of days, or 0 for no limit")
        buckets.append(
            Bucket(
                name,
                values.get("description", ""),
                values["retention_days"] * DAY_SECONDS,
                values.get("shard_group_days", 0) * DAY_SECONDS,
            )
        )
    if not buckets:
        raise SetupError(f"{file}: there is no bucket; expected a section such as [raw] with retention_days = 30")
    return tuple(buckets)


def parse_mappings(text: str, file: str, buckets: tuple[str, ...]) -> tuple[Mapping, ...]:
    """The mappings of a ``mappings.toml``, each to one of *buckets*. Raises SetupError."""
    document = _toml(text, file)
    listed = _keys(document, {"mapping": (list, False)}, file).get("mapping", [])
    mappings = []
    for number, entry in enumerate(listed, 1):
        where = f"{file}: mapping {number}"
        if not isinstance(entry, dict):
            raise SetupError(f"{where} is {entry!r}; expected [[mapping]] with database, retention_policy and bucket")
        kinds = dict.fromkeys(("database", "retention_policy", "bucket"), (str, True))
        values = _keys(entry, {**kinds, "default": (bool, False)}, where)
        if values["bucket"] not in buckets:
            raise SetupError(f"{where} names the bucket {values['bucket']!r}; buckets.toml has {', '.join(buckets)}")
        mappings.append(
            Mapping(values["database"], values["retention_policy"], values["bucket"], values.get("default", False))
        )
    return tuple(mappings)


def parse_task(text: str, file: str) -> Task:
    """Parse a task; its name is that in ``option task``. Raises SetupError if there is none."""
    match = _TASK_NAME.search(text)
    if match is None:
        raise SetupError(
            f'{file}: this task has no name; expected a line such as option task = {{name: "…", every: 1h}}'
        )
    return Task(match[1], text, file)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SetupError(f"{file} is not there; --definitions names the folder that holds buckets.toml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{file} cannot be read: {error}") from None


def _toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{file} is not valid TOML: {error}") from None


_WORDS: dict[type, str] = {int: "a whole number", str: "a text", bool: "true or false", list: "a list: [[mapping]]"}


def _keys(section: dict[str, Any], known: dict[str, tuple[type, bool]], where: str) -> dict[str, Any]:
    """The section's values. Raises SetupError for an unknown or missing key, or a wrong type."""
    for key, value in section.items():
        if key not in known:
            raise SetupError(f"{where} {key} is not a setting; expected {', '.join(sorted(known))}")
        if type(value) is not known[key][0]:
            raise SetupError(f"{where} {key} is {value!r}; it must be {_WORDS[known[key][0]]}")
    for key, (kind, required) in known.items():
        if required and key not in section:
            raise SetupError(f"{where} {key} is missing; it must be {_WORDS[kind]}")
    return section
