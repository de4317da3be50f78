"""The first process of a virtual machine: runs the programs that the tests request over a serial line.

A request and its answer are JSON objects on one line each. Only the standard library of Python 3.11 is used: the
machine has little else, and needs no network.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import termios
import threading
import time
import tty
from typing import IO, Any

#: What an init mounts; devtmpfs is mounted by the kernel or by the initial RAM disk.
MOUNTS = (
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),  # noqa: S108 - the machine's own
    ("tmpfs", "/run"),
)


class Program:
    """A program in the background, whose output is collected.

    Args:
        arguments: the program and its arguments.
        environ: additional variables.
    """

    def __init__(self, arguments: list[str], environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environ},
        )
        self.changed = threading.Condition()
        self.texts = {"stdout": "", "stderr": ""}
        self.open = 2
        self._readers = [
            threading.Thread(target=self._read, args=(name, pipe), daemon=True)
            for name, pipe in (("stdout", self.process.stdout), ("stderr", self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, pipe: IO[bytes]) -> None:
        while data := os.read(pipe.fileno(), 65536):
            with self.changed:
                self.texts[name] += data.decode("utf-8", "replace")
                self.changed.notify_all()
        with self.changed:
            self.open -= 1
            self.changed.notify_all()

    def write(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def until(self, stream: str, pattern: str, start: int, timeout: float) -> dict[str, Any]:
        """Wait until the output matches after *start*; the text from there, and the end of the match or None."""
        deadline = time.monotonic() + timeout
        wanted = re.compile(pattern, re.MULTILINE)
        with self.changed:
            while True:
                text = self.texts[stream]
                found = wanted.search(text, start)
                left = deadline - time.monotonic()
                if found or left <= 0 or not self.open:
                    end = found.end() if found else None
                    return {"text": text[start:end], "end": end, "stderr": self.texts["stderr"][-2000:]}
                self.changed.wait(left)

    def finish(self, number: int, timeout: float) -> dict[str, Any]:
        """Close its input, send a signal if *number* is not 0, and wait for its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if number:
            self.process.send_signal(number)
        killed = False
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            killed = True
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(10)
        return {"code": None if killed else self.process.returncode, **self.texts}


class Agent:
    """Answers requests."""

    def __init__(self) -> None:
        self._programs: dict[str, Program] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; ``error`` if it fails."""
        try:
            answer: dict[str, Any] = getattr(self, f"do_{request.pop('do')}")(**request)
        except Exception as error:  # noqa: BLE001 - the tests report it
            return {"error": f"{type(error).__name__}: {error}"}
        return answer

    def do_run(self, arguments: list[str], environ: dict[str, str], text: str, timeout: float) -> dict[str, Any]:
        """Run a program to its end."""
        start = time.monotonic()
        program = Program(arguments, environ)
        if text:
            program.write(text)
        return {**program.finish(0, timeout), "seconds": time.monotonic() - start}

    def do_start(self, name: str, arguments: list[str], environ: dict[str, str]) -> dict[str, Any]:
        """Start a program in the background."""
        self._programs[name] = Program(arguments, environ)
        return {}

    def do_write(self, name: str, text: str) -> dict[str, Any]:
        """Write to the standard input of a program in the background."""
        self._programs[name].write(text)
        return {}

    def do_until(self, name: str, stream: str, pattern: str, start: int, timeout: float) -> dict[str, Any]:
        """Wait for output of a program in the background."""
        return self._programs[name].until(stream, pattern, start, timeout)

    def do_finish(self, name: str, number: int, timeout: float) -> dict[str, Any]:
        """End a program in the background."""
        return self._programs.pop(name).finish(number, timeout)

    def do_hello(self) -> dict[str, Any]:
        """Report the machine."""
        return {"system": " ".join(os.uname()), "python": sys.version.split()[0]}


def mount() -> None:
    """Mount the kernel's file systems where they are missing."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, where in MOUNTS:
        os.makedirs(where, exist_ok=True)
        if kind != "tmpfs" and os.path.ismount(where):
            continue
        if libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None):
            raise OSError(ctypes.get_errno(), f"{where} cannot be mounted")


def main(line: str, *prepare: str) -> None:
    """Serve requests on a serial line forever.

    Args:
        line: the device.
        prepare: commands for the shell; all must succeed first.
    """
    os.environ.update(PATH="/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME="/root", LC_ALL="C.UTF-8")
    os.environ.pop("PYTHONHASHSEED", None)
    mount()
    for command in prepare:
        subprocess.run(["sh", "-c", command], check=True)
    descriptor = os.open(line, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor, termios.TCSANOW)
    agent = Agent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(descriptor, "rb", buffering=0) as source:
        rest = b""
        os.write(descriptor, b"\n" + json.dumps(agent.do_hello()).encode() + b"\n")
        while data := source.read(4096):
            *lines, rest = (rest + data).split(b"\n")
            for each in lines:
                answer = json.dumps(agent.answer(json.loads(each))).encode() + b"\n"
                while answer:
                    answer = answer[os.write(descriptor, answer) :]


if __name__ == "__main__":
    main(*sys.argv[1:])
