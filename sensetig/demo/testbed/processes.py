"""Engines as child processes: started with a log file, awaited, and stopped by process id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from sensetig.errors import OperatorError


class EngineFailed(OperatorError):
    """An engine ended or was not ready in time; the message names it, and quotes the end of its log."""


#: Called with an engine as soon as it has been started, before it is ready.
Spawned = Callable[["Identity"], None]


def ignore(identity: Identity) -> None:
    """A callback for callers that do not need an engine before it is ready."""
    del identity


class Identity(NamedTuple):
    """A process, distinguished from a later one with the same id.

    Args:
        name: the engine's, for messages.
        pid: its id.
        started: clock ticks from the machine's boot to its start; unlike the time of day, they do not change with
            corrections of the clock.
    """

    name: str
    pid: int
    started: int

    def process(self) -> psutil.Process | None:
        """The process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            alive = _started(self.pid) == self.started and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return None
        return process if alive else None


def start(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Identity:
    """Start an engine in a new session, so that Ctrl-C in the terminal does not reach it.

    Args:
        name: the engine's name, for messages.
        command: program and arguments; secrets belong into *environment*, which other users cannot read.
        log: receives both outputs; appended to, readable only by the owner.
        environment: variables that override the present ones.
        folder: the working directory.
    """
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    child.returncode = 0  # psutil awaits its end; this object must not warn that it was not awaited
    return Identity(name, child.pid, _started(child.pid))


def _started(pid: int) -> int:
    """The field `starttime` of proc_pid_stat(5). It follows the name, which may contain blanks and parentheses."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def await_ready(identity: Identity, ready: Callable[[], bool], *, log: Path, seconds: float) -> None:
    """Wait until *ready* returns True. Raises EngineFailed if the engine ends first or the time is up."""

    def state() -> str:
        if ready():
            return "ready"
        return "starting" if identity.process() else "ended"

    try:
        outcome = Retrying(
            retry=retry_if_result(lambda result: result == "starting"),
            stop=stop_after_delay(seconds),
            wait=wait_fixed(0.1),
        )(state)
    except RetryError:
        outcome = f"not ready after {seconds:g} s"
    if outcome != "ready":
        raise EngineFailed(f"{identity.name} {outcome}; the end of its log {log}:\n{tail(log)}")


def stop(identities: Sequence[Identity], *, seconds: float = 15.0) -> None:
    """Stop each engine and its child processes, in this order: SIGTERM, then SIGKILL when the time is up."""
    for identity in identities:
        process = identity.process()
        if process is None:
            continue
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        psutil.wait_procs([process], timeout=seconds)
        # Only now, because an engine that is just starting may start children during its shutdown.
        family = _session(identity.pid)
        _, late = psutil.wait_procs(family, timeout=max(0.0, seconds - (time.monotonic() - begun)))
        for each in late:
            each.kill()
        psutil.wait_procs(late, timeout=5)


def _session(leader: int) -> list[psutil.Process]:
    """The processes of the session that an engine was started in, including the engine."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue
    return found


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, for a message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(the log cannot be read: {error})"
