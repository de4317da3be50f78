"""Settings of a collector. Options override environment variables, which override the settings file (TOML).

A collector declares its settings once; the options, the variables and the keys of its section follow::

    BACKEND = Setting("backend", str, "auto", "Where readings come from.", choices=("auto", "hat"))

is ``--backend``, ``SENSETIG_SENSEHAT_BACKEND`` and ``backend`` under ``[sensehat]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

#: The settings file, unless SENSETIG_SETTINGS or ``--settings`` names another one.
DEFAULT_FILE = "/etc/sensetig/sensetig.toml"

T = TypeVar("T")

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class SettingsError(ValueError):
    """A setting is invalid; the message names file and line, variable or option, and the expected value."""


class Setting(Generic[T]):
    """One setting.

    Args:
        name: snake_case.
        kind: str, int, float or bool.
        default: the value if none is set; None for an optional setting.
        help: one sentence.
        choices: the allowed texts; empty for any.
        low, high: the inclusive range of a number, or None.
        positional: whether it can also be given as the first argument, without its option.
    """

    __slots__ = ("choices", "default", "help", "high", "kind", "low", "name", "positional")

    def __init__(
        self,
        name: str,
        kind: type,
        default: T,
        help: str,
        *,
        choices: tuple[str, ...] = (),
        low: float | None = None,
        high: float | None = None,
        positional: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help
        self.choices = choices
        self.low = low
        self.high = high
        self.positional = positional

    @property
    def expected(self) -> str:
        """The expected value, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = _KINDS[self.kind]
        if self.low is not None and self.high is not None:
            words += f" from {self.low:g} to {self.high:g}"
        elif self.low is not None:
            words += f" of at least {self.low:g}"
        elif self.high is not None:
            words += f" of at most {self.high:g}"
        return words

    def check(self, given: object) -> T:
        """Convert to the setting's kind. Raises ValueError without a message for an invalid value."""
        value: Any = float(given) if self.kind is float and type(given) is int else given
        fits = type(value) is self.kind and (not self.choices or value in self.choices)
        if self.kind is float and fits:
            fits = abs(value) < float("inf")  # which also excludes NaN
        if not fits:
            raise ValueError
        if (self.low is not None and not value >= self.low) or (self.high is not None and not value <= self.high):
            raise ValueError
        return cast("T", value)

    def read(self, text: str) -> T:
        """Parse the text of a variable or an option. Raises ValueError without a message if it is invalid."""
        if self.kind is bool:
            word = text.strip().lower()
            if word not in _TRUE + _FALSE:
                raise ValueError
            return self.check(word in _TRUE)
        return self.check(self.kind(text))


class Values:
    """The settings of one collector, accessed by declaration: ``values[BACKEND]``.

    Args:
        values: by name; missing ones have their defaults.
        load: reads the settings, now and at each :meth:`reload`.
        file: path of the settings file; None if it is unknown.
        overriding: names of settings from variables or options, on which the file has no effect.
    """

    __slots__ = ("_error", "_load", "_values", "file", "overriding")

    def __init__(
        self,
        values: Mapping[str, object] | None = None,
        load: Callable[[], Values] | None = None,
        *,
        file: str | None = None,
        overriding: frozenset[str] = frozenset(),
    ) -> None:
        self._values = dict(values or {})
        self.file, self.overriding = file, overriding
        self._load = load
        self._error: str | None = None
        self.reload()

    def __getitem__(self, setting: Setting[T]) -> T:
        """The value. Raises SettingsError if any of the settings is invalid."""
        if self._error is not None:
            raise SettingsError(self._error)
        return cast("T", self._values.get(setting.name, setting.default))

    def reload(self) -> None:
        """Read the settings again. Errors are raised on the first access to a value."""
        if self._load is None:
            return
        try:
            loaded = self._load()
            self._values, self._error = loaded._values, None
            self.file, self.overriding = loaded.file, loaded.overriding
        except SettingsError as error:
            self._error = str(error)


def variable(section: str, setting: Setting[Any]) -> str:
    """The environment variable of a setting: SENSETIG_<SECTION>_<NAME>."""
    return f"SENSETIG_{section}_{setting.name}".upper()


def resolve(
    section: str,
    settings: Sequence[Setting[Any]],
    *,
    file: str,
    text: str | None,
    sections: Sequence[str],
    environ: Mapping[str, str],
    options: Mapping[str, str | None],
) -> Values:
    """Resolve each setting of a section: option over variable over file over default.

    Args:
        section: the collector's name.
        settings: the collector's declarations.
        file: the settings file's path, for messages.
        text: the content of the file, or None if there is none.
        sections: all possible sections of the file.
        environ: the environment.
        options: the text of each given option, by the setting's name.

    Raises:
        SettingsError: an invalid file, an unknown section or key, a wrong type, or a value out of range.
    """
    values: dict[str, object] = {}
    overriding: set[str] = set()
    if text is not None:
        values.update(_from_file(section, settings, file, text, sections))
    for setting in settings:
        name = variable(section, setting)
        for given, source in ((environ.get(name), name), (options.get(setting.name), _option(setting))):
            if given is None or given == "":
                continue
            overriding.add(setting.name)
            try:
                values[setting.name] = setting.read(given)
            except ValueError:
                raise SettingsError(f"{source} is {given!r}; it must be {setting.expected}") from None
    return Values(values, file=file, overriding=frozenset(overriding))


def _option(setting: Setting[Any]) -> str:
    return "--" + setting.name.replace("_", "-")


def _from_file(
    section: str, settings: Sequence[Setting[Any]], file: str, text: str, sections: Sequence[str]
) -> dict[str, object]:
    import tomllib  # here, because most machines have no settings file

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None
    for name, content in document.items():
        if name not in sections:
            raise SettingsError(
                f"{file}, line {_line(text, None, name)}: unknown section [{name}]; there are {', '.join(sections)}"
            )
        if not isinstance(content, dict):
            raise SettingsError(f"{file}, line {_line(text, None, name)}: {name} must be a section: [{name}]")
    known = {setting.name: setting for setting in settings}
    values: dict[str, object] = {}
    for key, value in document.get(section, {}).items():
        where = f"{file}, line {_line(text, section, key)}: [{section}] {key}"
        if key not in known:
            names = ", ".join(sorted(known)) or "none"
            raise SettingsError(f"{where} is not a setting; [{section}] has {names}")
        try:
            values[key] = known[key].check(value)
        except ValueError:
            raise SettingsError(f"{where} is {value!r}; it must be {known[key].expected}") from None
    return values


def _line(text: str, section: str | None, key: str) -> int:
    """The line of a key (or, without a section, of a section's header), from 1; the parser does not report it."""
    inside = section is None
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(r"\s*\[\s*[\"']?([^\]\"']+)", line)
        if head:
            name = head[1].strip()
            if section is None and name.split(".")[0] == key:
                return number
            inside = section is None or name == section
        elif inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return 1
