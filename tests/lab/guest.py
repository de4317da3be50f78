"""A virtual machine and the programs in it."""

from __future__ import annotations

import json
import os
import re
import selectors
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

#: Maximum time from the start of QEMU until the agent answers; emulated machines need one minute on an idle host.
START_SECONDS = 900

#: By how much longer than a program's own timeout its answer may take: both sides run on the same busy host.
ANSWER_SECONDS = 300


class NotStarted(Exception):
    """The machine does not reach its agent."""


class Done(NamedTuple):
    """A program that has ended.

    Args:
        code: exit status; None if it was killed at its timeout.
        seconds: how long it took by the machine's monotonic clock.
    """

    code: int | None
    stdout: str
    stderr: str
    seconds: float = 0.0


class Guest:
    """A running machine, through its agent.

    Args:
        line: connected to the agent's serial line.
        hello: the agent's first message.
        accelerator: how QEMU runs it.
    """

    def __init__(self, line: socket.socket, hello: Mapping[str, str], accelerator: str) -> None:
        self.hello = hello
        self.accelerator = accelerator
        self._line = line
        self._programs = 0

    def ask(self, do: str, patience: float, /, **arguments: Any) -> dict[str, Any]:
        """Send a request to the agent and return its answer."""
        self._line.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
        answer: dict[str, Any] = read_object(self._line, time.monotonic() + patience + ANSWER_SECONDS)
        if "error" in answer:
            raise AssertionError(f"the agent cannot {do} {arguments}: {answer['error']}")
        return answer

    def run(
        self,
        *arguments: str,
        text: str = "",
        environ: Mapping[str, str] | None = None,
        timeout: float = 300,
        check: bool = True,
    ) -> Done:
        """Run a program to its end."""
        answer = self.ask(
            "run", timeout, arguments=list(arguments), environ=dict(environ or {}), text=text, timeout=timeout
        )
        done = Done(**answer)
        if check and done.code != 0:
            raise AssertionError(f"{shlex.join(arguments)} ended with {done.code}:\n{done.stdout}{done.stderr}")
        return done

    def sh(self, command: str, *, check: bool = True) -> str:
        """Run a command of the shell; its output."""
        return self.run("sh", "-c", command, check=check).stdout

    @contextmanager
    def started(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[Program]:
        """A program in the background, ended with the context if it still runs."""
        self._programs += 1
        name = str(self._programs)
        self.ask("start", 60, name=name, arguments=list(arguments), environ=dict(environ or {}))
        program = Program(self, name)
        try:
            yield program
        finally:
            if not program.ended:
                program.finish()


class Program:
    """A program in the background.

    Args:
        guest: the machine.
        name: the agent's name for it.
    """

    def __init__(self, guest: Guest, name: str) -> None:
        self.ended = False
        self._guest = guest
        self._name = name
        self._read = {"stdout": 0, "stderr": 0}

    def write(self, text: str) -> None:
        """Write to its standard input."""
        self._guest.ask("write", 60, name=self._name, text=text)

    def until(self, pattern: str, *, stream: str = "stdout", timeout: float = 600) -> str:
        """Wait until its further output matches a regular expression; return the output up to the end of the match."""
        answer = self._until(pattern, stream, timeout)
        if answer["end"] is None:
            printed, errors = answer["text"][-3000:], answer["stderr"]
            raise AssertionError(f"{stream} has no {pattern!r}: {printed!r}; standard error ends with {errors!r}")
        text: str = answer["text"]
        return text

    def seen(self, pattern: str, *, timeout: float) -> bool:
        """Whether its further standard output matches a regular expression in time."""
        return self._until(pattern, "stdout", timeout)["end"] is not None

    def _until(self, pattern: str, stream: str, timeout: float) -> dict[str, Any]:
        answer = self._guest.ask(
            "until", timeout, name=self._name, stream=stream, pattern=pattern, start=self._read[stream], timeout=timeout
        )
        if answer["end"] is not None:
            self._read[stream] = answer["end"]
        return answer

    def finish(self, number: int = 0, timeout: float = 120) -> Done:
        """Close its input, send a signal unless it is 0, and wait for its end."""
        self.ended = True
        answer = self._guest.ask("finish", timeout, name=self._name, number=int(number), timeout=timeout)
        return Done(**answer)


@contextmanager
def booted(command: Sequence[str], folder: Path, accelerators: Sequence[str]) -> Iterator[Guest]:
    """A machine, booted on the first accelerator that brings it to its agent. Raises NotStarted.

    Args:
        command: QEMU with its options; ``ACCELERATOR`` and ``AGENT`` in them are replaced.
        folder: takes the console's output.
        accelerators: for ``-accel``, best first.
    """
    failures = []
    for accelerator in accelerators:
        path = str(folder / "agent")
        # Whatever ends the lab ends the machine.
        arguments = ["setpriv", "--pdeathsig=KILL"]
        arguments += [part.replace("ACCELERATOR", accelerator).replace("AGENT", path) for part in command]
        console = folder / "console.log"
        messages = folder / "qemu.log"
        with socket.socket(socket.AF_UNIX) as server, messages.open("wb") as log:
            server.bind(path)
            server.listen(1)
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                try:
                    line, hello = _reach(server, process, console, messages)
                except NotStarted as error:
                    failures.append(f"{accelerator}: {error}: {_tail(console)}{_tail(messages)}")
                    continue
                with line:
                    yield Guest(line, hello, accelerator)
                return
            finally:
                process.kill()
                process.wait()
                os.unlink(path)
    raise NotStarted("; ".join(failures))


def _reach(
    server: socket.socket, process: subprocess.Popen[bytes], console: Path, messages: Path
) -> tuple[socket.socket, dict[str, str]]:
    """The agent's line and its first message. KVM that lacks an instruction pauses the machine with a message."""
    deadline = time.monotonic() + START_SECONDS
    waiting = server
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(server, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if selector.select(1):
                    if waiting is not server:
                        return waiting, read_object(waiting, deadline)
                    selector.unregister(server)
                    waiting, _ = server.accept()
                    selector.register(waiting, selectors.EVENT_READ)
                if process.poll() is not None:
                    raise NotStarted(f"QEMU ended with {process.returncode}")
                if b"KVM internal error" in messages.read_bytes():
                    raise NotStarted("KVM cannot run this machine")
                if console.exists() and b"Kernel panic" in console.read_bytes():
                    raise NotStarted("Linux has ended")
        raise NotStarted(f"no answer in {START_SECONDS} s")
    except NotStarted:
        if waiting is not server:
            waiting.close()
        raise


def read_object(line: socket.socket, deadline: float) -> dict[str, Any]:
    """The next JSON object on a line; other lines are skipped. Raises TimeoutError, or NotStarted at the end."""
    data = b""
    while True:
        line.settimeout(max(0.001, deadline - time.monotonic()))
        received = line.recv(65536)
        if not received:
            raise NotStarted("QEMU has closed the agent's line")
        data += received
        while b"\n" in data:
            first, data = data.split(b"\n", 1)
            if first.startswith(b"{"):
                found: dict[str, Any] = json.loads(first)
                return found


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", path.read_text(errors="replace"))[-1500:]
