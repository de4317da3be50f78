"""The outbox as a process: one socket for Telegraf, one folder, one InfluxDB."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NamedTuple

import urllib3
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool

from collectors.core.files import write_atomic
from collectors.messaging.broker import is_loopback
from collectors.outbox import STATE
from sensetig.errors import OutboxError
from sensetig.outbox.app import MAX_BODIES, Lifespan, build, build_receiver
from sensetig.outbox.batch import Destination
from sensetig.outbox.clock import Clock, machine
from sensetig.outbox.delivery import SAVE_SECONDS, Delivery
from sensetig.outbox.heartbeat import Heartbeat
from sensetig.outbox.notify import Notifier
from sensetig.outbox.receiver import Receiver
from sensetig.outbox.store import Store
from sensetig.outbox.upstream import Room, Unreachable, Upstream
from sensetig.security.own_points import OwnPoints
from sensetig.site import checked_url, read_token, tls_context

#: Seconds allowed for InfluxDB to connect and respond. Telegraf waits 10 s for the outbox, which stores after this.
TIMEOUTS = urllib3.Timeout(connect=2.0, read=5.0)

#: Maximum number of connections. Telegraf uses one; the proxy uses one per request of a device.
MAX_CONNECTIONS = 16
MAX_RECEIVER_CONNECTIONS = 256

#: File with the rejected points and InfluxDB's reasons, and its maximum size; one older file is kept.
REFUSED = "refused.jsonl"
MAX_REFUSED_BYTES = 1024 * 1024
_MAX_LINE = 2048


class Influx(NamedTuple):
    """The connection to InfluxDB.

    Args:
        url: its address.
        ca_file: certificates to trust in addition to the system's, or None.
        certificate, key: client certificate (PEM), or None.
        folder: of its data, if it is on this machine, or None.
        reserve_bytes: space to leave free on the file system of that folder.
    """

    url: str
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    folder: str | None = None
    reserve_bytes: int = 0


class Options(NamedTuple):
    """The options of the outbox.

    Args:
        folder: of the waiting batches.
        listen: ``unix:/path`` for a socket that the user and the group can write to, or ``HOST:PORT`` on loopback.
        influx: InfluxDB.
        token_file: a token with write permission.
        max_bytes: see :class:`sensetig.outbox.store.Store`.
        reserve_bytes: see there.
        destination: overrides the destination that each writer names, or None.
        heartbeat_file: a file with the address of a heartbeat, or None.
        clock_wait_seconds: see :class:`sensetig.outbox.clock.Clock`.
    """

    folder: str
    listen: str
    influx: Influx
    token_file: Path
    max_bytes: int
    reserve_bytes: int
    destination: Destination | None = None
    heartbeat_file: Path | None = None
    clock_wait_seconds: float = 0.0


def run(options: Options, log: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        OperatorError: it cannot start; the message is one sentence.
    """
    upstream = _upstream(options.influx, read_token(options.token_file))
    heartbeat_url = None if options.heartbeat_file is None else _heartbeat_url(options.heartbeat_file)
    store = Store(options.folder, options.max_bytes, options.reserve_bytes, time.time_ns, _free_bytes, log)
    try:
        listener = _listen(options.listen)
        server = _Server()
        journal = _journal(options.folder, log)
        clock = Clock(machine(options.folder), options.clock_wait_seconds, options.folder, store.next_number, log)
        delivery = Delivery(store, upstream, journal, server.fail, log, options.destination, clock=clock)
        delivery.start()
        if heartbeat_url is not None:
            pool = urllib3.PoolManager(timeout=TIMEOUTS, retries=False, ssl_context=tls_context(options.influx.ca_file))
            Heartbeat(pool, heartbeat_url, delivery.seconds_since_stored, log).start()
        try:
            server.serve(
                build(delivery.take, time.time_ns, _lifespan(Notifier(), lambda: delivery.is_alive, _nothing)),
                listener,
                MAX_CONNECTIONS,
            )
        finally:
            delivery.stop()
        if server.failed:
            raise OutboxError("delivery has ended by the fault above; points wait on the disk")
    finally:
        store.close()


def run_receiver(
    folder: str, listen: str, influx: Influx, gateways: Collection[str], log: Callable[[str], None]
) -> None:
    """Forward the writes of devices to InfluxDB until SIGTERM or SIGINT.

    Args:
        folder: holds the counts.
        listen: as for the outbox.
        influx: InfluxDB.
        gateways: devices that may write points of other devices.
        log: receives one sentence.

    Raises:
        OperatorError: it cannot start; the message is one sentence.
    """

    def save(counts: Mapping[str, int | str]) -> None:
        save_counts(os.path.join(folder, STATE), counts)

    receiver = Receiver(_upstream(influx, ""), save, log)
    listener = _listen(listen)
    receiver.save()
    check = OwnPoints(gateways, log, time.monotonic)
    application = build_receiver(receiver.relay, check, _lifespan(Notifier(), lambda: True, receiver.save))
    _Server().serve(application, listener, MAX_RECEIVER_CONNECTIONS)


def save_counts(path: str, counts: Mapping[str, int | str]) -> None:
    """Write the receiver's counts, also on a full disk, when an alert reads why writes are held. Raises OSError."""
    content = json.dumps(counts) + "\n"
    try:
        write_atomic(path, content, 0o644, durable=False)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # The file's block exists already. A collector that reads it now counts an error, and reads it again later.
        with open(path, "r+", encoding="utf-8") as file:
            file.write(content)
            file.truncate()


def check(influx: Influx, token_file: Path, destination: Destination) -> None:
    """Write an empty body to InfluxDB, which then checks token, organisation and bucket.

    Raises:
        OperatorError: it would reject points; the message is one sentence.
    """
    try:
        refused = _upstream(influx, read_token(token_file)).send(destination, [])
    except Unreachable as error:
        raise OutboxError(str(error)) from None
    if refused is not None:
        raise OutboxError(f"InfluxDB at {influx.url} refuses points: {refused.reason}")


class _Uvicorn(uvicorn.Server):
    async def main_loop(self) -> None:
        """Check once a second whether to end. Uvicorn checks ten times, which costs six times the CPU when idle."""
        while not await self.on_tick(0):
            await asyncio.sleep(1)


class _Server:
    """Uvicorn on one socket."""

    def __init__(self) -> None:
        self.failed = False
        self._server: uvicorn.Server | None = None

    def fail(self) -> None:
        """End, because a part of the process has failed."""
        self.failed = True
        if self._server is not None:
            self._server.should_exit = True

    def serve(self, application: Starlette, listener: socket.socket, max_connections: int) -> None:
        """Serve until a signal or :meth:`fail`."""
        self._server = _Uvicorn(
            uvicorn.Config(
                application,
                ws="none",
                lifespan="on",
                loop="asyncio",
                log_level=logging.ERROR,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=max_connections,
                timeout_graceful_shutdown=8,
            )
        )
        # Uvicorn raises the signal again at its end; with the default handler the process would be killed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)
        if not self.failed:
            self._server.run(sockets=[listener])


def _lifespan(notifier: Notifier, is_alive: Callable[[], bool], tick: Callable[[], None]) -> Lifespan:
    """Notify systemd while the server runs; without notifications, systemd restarts the service.

    Args:
        notifier: to systemd.
        is_alive: whether the background threads make progress.
        tick: called at each notification.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async def report() -> None:
            while True:
                if is_alive():
                    notifier.alive()
                await run_in_threadpool(tick)
                await asyncio.sleep(notifier.interval or SAVE_SECONDS)

        notifier.ready()
        task = asyncio.create_task(report())
        try:
            yield
        finally:
            task.cancel()
            await run_in_threadpool(tick)

    return lifespan


def _nothing() -> None:
    """No tick."""


def _upstream(influx: Influx, token: str) -> Upstream:
    url = checked_url(influx.url, "InfluxDB", "http://127.0.0.1:8086")
    context = tls_context(influx.ca_file)
    if influx.certificate is not None:
        try:
            # A key with a passphrase is rejected; otherwise OpenSSL would prompt on a missing terminal.
            context.load_cert_chain(influx.certificate, influx.key, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise OutboxError(
                f"the certificate {influx.certificate} with the key {influx.key} cannot be used: {error}"
            ) from None
    pool = urllib3.PoolManager(timeout=TIMEOUTS, retries=False, ssl_context=context, maxsize=MAX_BODIES, block=True)
    room = None if influx.folder is None else Room(influx.folder, influx.reserve_bytes, _free_bytes)
    return Upstream(pool, url, token, room)


def _heartbeat_url(path: Path) -> str:
    url = read_token(path, "the file with the heartbeat's address")
    if not url.startswith(("https://", "http://")):
        raise OutboxError(f"{path} has no address of a heartbeat; expected one such as https://hc-ping.com/...")
    return url


def _ignore(*_: object) -> None:
    """Ignore a signal that Uvicorn has handled."""


def _free_bytes(folder: str) -> int:
    return shutil.disk_usage(folder).free


def _journal(folder: str, log: Callable[[str], None]) -> Callable[[bytes, str], None]:
    """Record rejected points for inspection, and log each reason at intervals."""
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
        if not is_loopback(host.strip("[]")):
            raise OutboxError(
                f"the outbox listens without encryption, and {where} is not on this machine only: give --listen a Unix "
                "socket or an address such as 127.0.0.1:8087"
            )
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
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
    # Remove the socket of a killed process; the lock on the folder rules out a running one.
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
