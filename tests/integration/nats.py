"""A real NATS server for the tests: on loopback, with JetStream in a folder, to be stopped and started at will."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sensetig.demo.testbed import ports, processes
from sensetig.engines import locate


class Nats:
    """One server, which keeps its port and its folder from start to start.

    Args:
        program: nats-server.
        folder: receives its configuration, its log and what JetStream keeps.
        settings: lines of its configuration besides, such as users.
        disk: receives what JetStream keeps, if it is not that folder.
    """

    def __init__(self, program: Path, folder: Path, settings: str = "", disk: Path | None = None) -> None:
        self._program = program
        self._folder = folder
        self.port = ports.any_free()
        self.monitor_port = ports.any_free()
        self._process: processes.Identity | None = None
        (folder / "nats.conf").write_text(
            f'listen: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor_port}"\n'
            f'jetstream {{ store_dir: "{disk or folder}/jetstream", max_memory_store: 64MB, max_file_store: 512MB, '
            "sync_interval: always }\n"
            f"{settings}\n",
            encoding="utf-8",
        )

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor_port}"

    def start(self) -> None:
        log = self._folder / "nats.log"
        command: list[str | Path] = [self._program, "-c", self._folder / "nats.conf"]
        self._process = processes.start("NATS", command, log=log, folder=self._folder)
        processes.await_ready(self._process, lambda: ports.is_listening(self.port), log=log, seconds=120)

    def stop(self) -> None:
        if self._process is not None:
            processes.stop([self._process])
            self._process = None


@contextmanager
def running(folder: Path, settings: str = "") -> Iterator[Nats]:
    """A server that runs, and is stopped at the end; without one, the test is skipped.

    Args:
        settings: lines of its configuration besides, such as users.
    """
    engine = locate("nats-server")
    if engine is None:
        pytest.skip("no NATS on this machine: `make engines` gets it, with Go or from the system's packages")
    folder.mkdir(parents=True, exist_ok=True)
    server = Nats(engine.path, folder, settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    """One server for the session; each test uses separate streams and buckets."""
    with running(tmp_path_factory.mktemp("nats")) as server:
        yield server
