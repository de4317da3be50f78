"""A debugger attaches to a collector that runs, where that is switched on, and from this machine alone."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from collectors.core.debug import parse
from collectors.core.settings import SettingsError
from sensetig.demo.testbed import ports


@contextmanager
def collector(debug: str | None) -> Iterator[subprocess.Popen[bytes]]:
    environ = {name: value for name, value in os.environ.items() if name != "SENSETIG_DEBUG"}
    if debug is not None:
        environ["SENSETIG_DEBUG"] = debug
    process = subprocess.Popen(
        [sys.executable, "-m", "collectors", "system", "--execd"],
        env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.communicate(timeout=240)


def batch(process: subprocess.Popen[bytes]) -> bytes:
    """The first line of the next batch."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert select.select([process.stdout], [], [], 120)[0], "the collector printed nothing"
    return process.stdout.readline()


def listening(process: subprocess.Popen[bytes], port: int | None = None) -> set[tuple[str, int]]:
    """Ports of the collector, and of the owner of *port*: the debugger's adapter is not a child of the collector."""
    family = {process.pid, *(each.pid for each in psutil.Process(process.pid).children(recursive=True))}
    there = [
        (each.pid, (str(each.laddr[0]), int(each.laddr[1])))
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.pid is not None and each.laddr
    ]
    family |= {owner for owner, address in there if address[1] == port}
    return {address for owner, address in there if owner in family}


def initialised(port: int) -> dict[str, Any]:
    """The response to the debugger's first request: https://microsoft.github.io/debug-adapter-protocol/"""
    request = json.dumps(
        {"seq": 1, "type": "request", "command": "initialize", "arguments": {"adapterID": "python"}}
    ).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
        client.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(request), request))
        stream = client.makefile("rb")
        while True:
            head = b""
            while (line := stream.readline()) not in (b"\r\n", b""):
                head += line
            assert head, "the debugger ended the connection"
            size = next(int(each.split(b":")[1]) for each in head.split(b"\r\n") if each.startswith(b"Content-Length"))
            answer: dict[str, Any] = json.loads(stream.read(size))
            if answer["type"] == "response":
                return answer


def test_a_debugger_attaches_on_loopback_while_the_collector_goes_on() -> None:
    port = ports.any_free()
    with collector(f"system:{port}") as process:
        assert process.stderr is not None
        assert select.select([process.stderr], [], [], 120)[0]
        assert f"127.0.0.1:{port}" in process.stderr.readline().decode()
        assert ("127.0.0.1", port) in listening(process, port)
        assert {address for address, _ in listening(process, port)} == {"127.0.0.1"}
        answer = initialised(port)
        assert answer["success"]
        assert answer["body"]["supportsConditionalBreakpoints"]
        assert b" " in batch(process)


@pytest.mark.parametrize("debug", [None, "sensehat:5678"])
def test_without_the_variable_or_for_another_collector_nothing_listens(debug: str | None) -> None:
    with collector(debug) as process:
        assert b" " in batch(process)
        assert listening(process) == set()


@pytest.mark.parametrize("text", ["", "5678", "sensehat", "sensehat:0", "sensehat:80", "sensehat:5678:now", "a b:5678"])
def test_an_invalid_debug_port_is_reported(text: str) -> None:
    with pytest.raises(SettingsError, match="expected"):
        parse(text)


def test_a_port_in_use_is_reported_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, collector(f"system:{taken.getsockname()[1]}") as process:
        assert process.stderr is not None
        assert b"no debugger can attach" in process.stderr.read()
