"""Ports for engines: a reserved port goes to no other process, whether or not something listens on it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sensetig.demo.testbed import ports

ROOT = Path(__file__).parents[2]


@contextmanager
def another_process(*reserved: int) -> Iterator[list[int]]:
    """Another process that reserves these ports and one more; yields the reserved ports."""
    program = (
        "import sys; from sensetig.demo.testbed import ports; "
        "print(*(port for port in map(int, sys.argv[1:]) if ports.reserve(port)), ports.any_free(), flush=True); "
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, *map(str, reserved)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield [int(word) for word in process.stdout.readline().split()]
        process.communicate()


def test_a_port_is_reserved_once_in_a_process() -> None:
    port = ports.any_free()
    assert not ports.reserve(port)
    assert ports.any_free() != port


def test_a_reserved_port_goes_to_no_other_process_until_its_own_ends() -> None:
    mine = ports.any_free()
    with another_process(mine) as (theirs,):
        assert theirs != mine
        assert not ports.reserve(theirs)
    assert ports.reserve(theirs)


def test_the_last_free_port_of_the_range_is_found_and_then_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, left = ports.any_free(), ports.any_free()
    monkeypatch.setattr(ports, "_reserved", ports._reserved - {left})
    monkeypatch.setattr(ports, "RANGE", (taken, left))
    assert ports.any_free() == left
    with pytest.raises(ports.NoFreePort, match=f"no loopback port from {taken} to {left} is free"):
        ports.any_free()


def test_a_port_that_a_server_listens_on_is_not_reserved_until_the_server_ends() -> None:
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        port = server.getsockname()[1]
        assert not ports.is_listening(port)
        server.listen()
        assert ports.is_listening(port)
        assert not ports.reserve(port)
    assert not ports.is_listening(port)


def test_the_kernel_gives_no_reserved_port_to_a_connection() -> None:
    range_of_kernel = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not range_of_kernel.is_file():
        pytest.skip("this system keeps the range of its ports elsewhere")
    low, high = map(int, range_of_kernel.read_text().split())
    assert not set(ports.RANGE) & set(range(low, high + 1)), "this machine was given another range than Linux's own"
