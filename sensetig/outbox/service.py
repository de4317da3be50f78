"""The outbox as a process: one socket for Telegraf, one folder, one InfluxDB."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NamedTuple

import urllib3
import uvicorn

from sensetig.errors import OutboxError
from sensetig.outbox.app import build
from sensetig.outbox.clock import Clock, machine
from sensetig.outbox.delivery import Delivery
from sensetig.outbox.store import Store
from sensetig.outbox.upstream import Upstream
from sensetig.site import checked_url, read_token, tls_context

#: Seconds that InfluxDB may take to connect and to answer. Telegraf waits 10 s for the outbox, which stores after this.
TIMEOUTS = urllib3.Timeout(connect=2.0, read=5.0)

#: File with the refused points and InfluxDB's reasons, and its size at most; one older file is kept.
REFUSED = "refused.jsonl"
MAX_REFUSED_BYTES = 1024 * 1024
_MAX_LINE = 2048


class Options(NamedTuple):
    """How the outbox runs.

    Args:
        folder: of the waiting batches.
        listen: ``unix:/path`` for a socket that the user and the group can write to, or ``HOST:PORT`` on loopback.
        url: InfluxDB's address.
        token_file: a token that may write.
        ca_file: certificates that are trusted besides the system's, or None.
        certificate, key: files (PEM) that the outbox shows to InfluxDB, or None.
        max_bytes: see :class:`sensetig.outbox.store.Store`.
        reserve_bytes: see there.
        clock_wait_seconds: see :class:`sensetig.outbox.clock.Clock`.
    """

    folder: str
    listen: str
    url: str
    token_file: Path
    ca_file: Path | None
    certificate: Path | None
    key: Path | None
    max_bytes: int
    reserve_bytes: int
    clock_wait_seconds: float = 0.0


def run(options: Options, log: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        OperatorError: it cannot start; the message is one sentence.
    """
    url = checked_url(options.url, "InfluxDB", "http://127.0.0.1:8086")
    token = read_token(options.token_file)
    pool = _pool(options)
    store = Store(options.folder, options.max_bytes, options.reserve_bytes, time.time_ns, _free_bytes, log)
    try:
        listener = _listen(options.listen)
        failed = threading.Event()

        def fail() -> None:
            failed.set()
            server.should_exit = True

        upstream = Upstream(pool, url, token)
        clock = Clock(machine(options.folder), options.clock_wait_seconds, options.folder, store.next_number, log)
        delivery = Delivery(store, upstream, _journal(options.folder, log), fail, log, clock)
        server = uvicorn.Server(
            uvicorn.Config(
                build(delivery.take, time.time_ns),
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_level=logging.ERROR,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=16,
                timeout_graceful_shutdown=8,
            )
        )
        # Uvicorn raises the signal that ended it again; with the default handler the process would end there.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)
        delivery.start()
        try:
            server.run(sockets=[listener])
        finally:
            delivery.stop()
        if failed.is_set():
            raise OutboxError("delivery has ended by the fault above; points wait on the disk")
    finally:
        store.close()


def _pool(options: Options) -> urllib3.PoolManager:
    context = tls_context(options.ca_file)
    if options.certificate is not None:
        try:
            # A key with a passphrase is refused; otherwise OpenSSL would ask on a terminal that is not there.
            context.load_cert_chain(options.certificate, options.key, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise OutboxError(
                f"the certificate {options.certificate} with the key {options.key} cannot be used: {error}"
            ) from None
    return urllib3.PoolManager(timeout=TIMEOUTS, retries=False, ssl_context=context)


def _ignore(*_: object) -> None:
    """A signal that Uvicorn has dealt with."""


def _free_bytes(folder: str) -> int:
    return shutil.disk_usage(folder).free


def _journal(folder: str, log: Callable[[str], None]) -> Callable[[bytes, str], None]:
    """Keeps refused points for inspection, and says each reason once in a while."""
    handler = RotatingFileHandler(
        os.path.join(folder, REFUSED), maxBytes=MAX_REFUSED_BYTES, backupCount=1, encoding="utf-8", delay=True
    )
    journal = logging.getLogger("sensetig.outbox.refused")
    journal.propagate = False
    journal.setLevel(logging.INFO)
    journal.addHandler(handler)
    said: dict[str, float] = {}

    def refused(line: bytes, reason: str) -> None:
        text = line[:_MAX_LINE].decode("utf-8", "replace")
        journal.info(json.dumps({"time": int(time.time()), "reason": reason, "point": text}, ensure_ascii=False))
        now = time.monotonic()
        if now - said.get(reason, -3600.0) >= 3600.0:
            if len(said) >= 256:
                said.clear()
            said[reason] = now
            log(f"InfluxDB refused a point ({reason}); the refused points are in {os.path.join(folder, REFUSED)}")

    return refused


def _listen(where: str) -> socket.socket:
    kind, _, path = where.partition(":")
    try:
        if kind == "unix":
            return _listen_unix(path)
        host, _, port = where.rpartition(":")
        family, _, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
        return listener
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "expected unix:/path or HOST:PORT"
        raise OutboxError(f"the outbox cannot listen on {where}: {reason or error}; change --listen") from None


def _listen_unix(path: str) -> socket.socket:
    # A socket that a killed process has left is in the way; the lock of the folder rules out a process that still runs.
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listener.bind(path)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener
