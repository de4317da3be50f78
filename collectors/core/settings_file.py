"""Change individual settings in the settings file."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

_HEAD = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$")
_KEY = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=")

#: A value of a setting.
Value = str | int | float | bool


class SettingsFileError(ValueError):
    """The file cannot be changed automatically; the message is one sentence with the reason."""


def changed(text: str, section: str, values: Mapping[str, Value]) -> str:
    """The text of a settings file with new values in one section; comments and all other lines are preserved.

    Args:
        text: the file's content.
        section: name of the section, which is added if missing.
        values: the new values.

    Raises:
        SettingsFileError: the text is not valid TOML, or its form can only be changed by hand.
    """
    before = _parsed(text)
    lines = text.splitlines()
    pending = dict(values)
    end: int | None = None
    inside = False
    for number, line in enumerate(lines):
        head = _HEAD.match(line)
        if head:
            inside = head[1].strip("\"'") == section
        if inside:
            if line.strip():
                end = number + 1
            key = _KEY.match(line)
            if key and key[1] in pending:
                lines[number] = spelled(key[1], pending.pop(key[1]))
    added = [spelled(name, value) for name, value in pending.items()]
    if end is None:
        added = [*([""] if lines else []), f"[{section}]", *added]
        end = len(lines)
    if pending:
        lines[end:end] = added
    result = "\n".join(lines) + "\n"
    expected = {**before, section: {**before.get(section, {}), **values}}
    try:
        done = tomllib.loads(result)
    except tomllib.TOMLDecodeError:
        done = {}
    if done != expected:
        raise SettingsFileError(f"[{section}] has a value on several lines, which only a person can change")
    return result


def spelled(name: str, value: Value) -> str:
    """A setting as a TOML line.

    >>> spelled("mask", "0,0 50,0 50,30")
    'mask = "0,0 50,0 50,30"'
    """
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}"
    return f"{name} = {json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)}"


def _parsed(text: str) -> dict[str, dict[str, object]]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsFileError(f"it is not valid TOML: {error}") from None
