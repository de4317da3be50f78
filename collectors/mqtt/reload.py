"""Apply new settings: check them, and then reload Telegraf.

Collectors read their settings when they start. A reload (SIGHUP) restarts every collector and the agent within the
same Telegraf, which keeps its buffers. Telegraf exits when it is reloaded with an invalid configuration, so its
configuration is checked first.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence

#: Seconds allowed for Telegraf to check its configuration.
_CHECK_SECONDS = 60.0

#: Telegraf's options that determine its configuration: with a value, and without.
_WITH_VALUE = ("config", "config-directory")
_ALONE = ("strict-env-handling", "non-strict-env-handling")


class NotReloaded(Exception):
    """The settings were not applied; the message is one sentence."""


class Telegraf:
    """The Telegraf that runs this process.

    Args:
        pid: its process id.
        program: its executable.
        options: the options with its configuration.
        folder: its working directory.
    """

    def __init__(self, pid: int, program: str, options: Sequence[str], folder: str) -> None:
        self.pid = pid
        self.program = program
        self.options = tuple(options)
        self.folder = folder

    async def check(self) -> None:
        """Raise NotReloaded if its configuration is invalid now."""
        process = await asyncio.create_subprocess_exec(
            self.program,
            "config",
            "check",
            *self.options,
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), _CHECK_SECONDS)
        except TimeoutError:
            raise NotReloaded(f"Telegraf has not checked its configuration within {_CHECK_SECONDS:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise NotReloaded(f"Telegraf's configuration is invalid: {first_error(said.decode('utf-8', 'replace'))}")

    def reload(self) -> None:
        """Make it reload its configuration and restart the collectors."""
        os.kill(self.pid, signal.SIGHUP)


def first_error(said: str) -> str:
    """The error line in Telegraf's output, or else its last line.

    >>> first_error("2026-01-01T00:00:00Z I! Loading\\n2026-01-01T00:00:00Z E! no such plugin\\n")
    'no such plugin'
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in lines:
        if "E! " in line:
            return line.partition("E! ")[2][:300]
    return lines[-1][:300] if lines else "it printed nothing"


def configuration_options(arguments: Sequence[str]) -> list[str]:
    """The arguments of Telegraf that determine its configuration.

    >>> configuration_options(["--once", "-config", "a.conf", "--config-directory=d", "--debug"])
    ['--config', 'a.conf', '--config-directory=d']
    """
    kept: list[str] = []
    following = iter(arguments)
    for argument in following:
        name, equals, _ = argument.lstrip("-").partition("=")
        if not argument.startswith("-"):
            continue
        if name in _WITH_VALUE:
            kept += [f"--{argument.lstrip('-')}"] if equals else [f"--{name}", next(following, "")]
        elif name in _ALONE:
            kept.append(f"--{name}")
    return kept


def running_telegraf(parent: int, proc_root: str = "/proc") -> Telegraf | None:
    """The Telegraf with this process id; None if the process is another program or cannot be inspected."""
    folder = os.path.join(proc_root, str(parent))
    try:
        program = os.readlink(os.path.join(folder, "exe"))
        where = os.readlink(os.path.join(folder, "cwd"))
        with open(os.path.join(folder, "cmdline"), "rb") as file:
            arguments = file.read().decode("utf-8", "surrogateescape").split("\0")[1:]
    except OSError:
        return None
    if not os.path.basename(program).startswith("telegraf"):
        return None
    return Telegraf(parent, program, configuration_options(arguments), where)


def check_settings() -> int:
    """Check the current settings of every collector; return the number of collectors.

    Raises:
        NotReloaded: a setting is invalid; the message names the file and line, or the variable.
    """
    from importlib import import_module

    from collectors.core.cli import SPOOL, load_settings
    from collectors.core.registry import catalogue
    from collectors.core.settings import SettingsError

    names = catalogue()
    for name in names:
        try:
            load_settings(name, (*import_module(f"collectors.{name}").SETTINGS, SPOOL), {})
        except SettingsError as error:
            raise NotReloaded(f"the settings are invalid and not applied: {error}") from None
    return len(names)


Check = Callable[[], int]
