"""InfluxDB on loopback."""

from __future__ import annotations

from pathlib import Path

import urllib3

from sensetig.demo.testbed import processes
from sensetig.demo.testbed.ports import LOOPBACK


def answers(url: str) -> bool:
    """Whether a server at this URL returns status 200."""
    try:
        return urllib3.request("GET", url, retries=False, timeout=10.0).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def start(
    influxd: Path,
    folder: Path,
    port: int,
    log: Path,
    spawned: processes.Spawned = processes.ignore,
    *,
    metrics: bool = False,
) -> tuple[processes.Identity, str]:
    """Start influxd with its files in *folder*, wait until it is ready, and return the process and its URL.

    Args:
        influxd: the program.
        folder: holds its files.
        port: of the loopback address.
        log: receives its output.
        spawned: called with the process before it is ready.
        metrics: whether to serve its metrics, which need no token.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    command: list[str | Path] = [
        influxd,
        f"--bolt-path={folder / 'influxd.bolt'}",
        f"--sqlite-path={folder / 'influxd.sqlite'}",
        f"--engine-path={folder / 'engine'}",
        f"--http-bind-address={LOOPBACK}:{port}",
        "--reporting-disabled",
        # Flux must neither fetch URLs of this network nor open files and SQLite databases, whatever the token.
        "--hardening-enabled",
        # The demo's Telegraf does not read them, and they need no token.
        *([] if metrics else ["--metrics-disabled"]),
        "--log-level=warn",
    ]
    identity = processes.start("InfluxDB", command, log=log)
    spawned(identity)
    url = f"http://{LOOPBACK}:{port}"
    try:
        processes.await_ready(identity, lambda: answers(f"{url}/health"), log=log, seconds=180)
    except BaseException:
        processes.stop([identity])
        raise
    return identity, url
