"""Processes as systemd runs them: started again when they end, killed with their children, stopped and continued."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from sensetig.demo.testbed import processes

#: Seconds between the end of a process and its next start, as RestartSec of systemd.
RESTART_SECONDS = 1.0


class Service:
    """One process. A supervisor starts it again as long as it is wanted."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.log = log
        self.wanted = False
        #: False while its machine is without power.
        self.powered = True
        #: How often it ended by itself.
        self.ended = 0
        self._command = command
        self._environment = environment
        self._folder = folder
        self._identity: processes.Identity | None = None
        self._ended_at = 0.0
        self._lock = threading.RLock()

    def start(self) -> None:
        """Start it, and keep it running."""
        with self._lock:
            self.wanted = True
            if self.powered and self._process() is None:
                self._identity = processes.start(
                    self.name, self._command, log=self.log, environment=self._environment, folder=self._folder
                )

    def supervise(self) -> None:
        """Start it again where it has ended by itself some time ago."""
        with self._lock:
            if not self.wanted or not self.powered or self._process() is not None:
                self._ended_at = 0.0
            elif not self._ended_at:
                self._ended_at = time.monotonic()
                self.ended += 1
            elif time.monotonic() - self._ended_at >= RESTART_SECONDS:
                self.start()

    def family(self) -> list[psutil.Process]:
        """The process and its children; empty if it does not run."""
        process = self._process()
        if process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return [process, *process.children(recursive=True)]
        return []

    def child(self, *words: str) -> psutil.Process | None:
        """The descendant whose command has these words in a row."""
        for process in self.family()[1:]:
            with suppress(psutil.NoSuchProcess):
                command = process.cmdline()
                named = any(tuple(command[at : at + len(words)]) == words for at in range(len(command)))
                if named and not command[0].endswith("/sh"):  # the shell that holds a processor's pipes
                    return process
        return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and its children."""
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """Kill it and its children, as systemd clears a control group."""
        with self._lock:
            self.wanted = False
            self._end()

    def restart(self) -> None:
        """Restart it, if it runs as it should."""
        with self._lock:
            if self.wanted and self.powered:
                self._end()
                self.start()

    def cut_power(self, *, on: bool) -> None:
        """Stop it as it is; or start it again, if it ran or another fault wanted it to run in the meantime."""
        with self._lock:
            self.powered = on
            if on:
                if self.wanted:
                    self.start()
            else:
                self.signal(signal.SIGSTOP)

    def vanish(self) -> None:
        """End it without a trace, as a machine without power does."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        family = self.family()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=20)

    def _process(self) -> psutil.Process | None:
        return self._identity.process() if self._identity is not None else None
