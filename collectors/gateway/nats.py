"""Messages from a NATS JetStream stream, each with the time of its storage in the stream.

All workers share one durable consumer, which gives each message to one of them. It redelivers a message to another
worker if the first has neither acknowledged it nor asked for more time within the consumer's ``ack_wait``; its time in
the stream stays the same.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from collectors.core.api import Unavailable
from collectors.core.tls import client_context
from collectors.device_state.nats_kv import Server
from collectors.gateway.source import Inbox, Incoming, Waiting

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

#: Seconds between attempts to reach the consumer, and the timeout of a response.
_RETRY_SECONDS, _ANSWER_SECONDS = 2.0, 5.0

#: Seconds between queries for the consumer's backlog.
_ASK_SECONDS = 5.0

#: How often unacknowledged messages are extended within the consumer's ``ack_wait``.
_PROLONG_TIMES = 4

#: Maximum number of errors reported per outage.
_MAX_FAILURES = 4

_STOP_SECONDS = 2.0


def stored(reply: str) -> tuple[int, int]:
    """Sequence number and time (nanoseconds since 1970) in the stream, from the reply subject of a message.

    The library converts the time to a double, which is sometimes off by a microsecond.

    >>> stored("$JS.ACK.sensetig.telegraf.1.42.40.1796000000123456789.3")
    (42, 1796000000123456789)

    Raises:
        ValueError: the message is not from a stream.
    """
    words = reply.split(".")
    if len(words) > 9:  # with the domain and the account
        del words[2:4]
    if len(words) < 9 or words[:2] != ["$JS", "ACK"]:
        raise ValueError(reply[:100])
    return int(words[5]), int(words[7])


class NatsSource:
    """A worker of a stream's consumer.

    Args:
        server: the server, with credentials.
        stream, consumer: their names.
        log: receives a sentence when the consumer is found.

    Raises:
        Unavailable: the library is not installed, or the certificates cannot be used.
    """

    def __init__(self, server: Server, stream: str, consumer: str, log: Callable[[str], None]) -> None:
        try:
            import nats  # noqa: F401 - reported now, and not on the thread
        except ImportError:
            raise Unavailable("NATS needs the library nats-py: pip install 'sensetig[nats]'") from None
        self._log = log
        self._server = server
        self._stream = stream
        self._consumer = consumer
        self._context = _encryption(server)
        self._client: Client | None = None
        self._ack_wait = 30.0
        self._prolong_at = 0.0
        self._inbox = Inbox()
        self.descriptor = self._inbox.descriptor
        self._said: deque[str] = deque(maxlen=16)
        self._failures: set[str] = set()
        self._waiting: Waiting | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)

    def start(self) -> None:
        """See :class:`~collectors.gateway.source.Source`."""
        self._thread.start()
        self._do(self._run)

    def take(self) -> list[Incoming]:
        """See :class:`~collectors.gateway.source.Source`."""
        return self._inbox.take()

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """See :class:`~collectors.gateway.source.Source`."""
        handles: list[Any] = [each.handle for each in messages]

        async def all_of_them() -> None:
            for handle in handles:
                await handle.ack()

        if handles:
            self._do(all_of_them)

    def hold(self, messages: Sequence[Incoming]) -> None:
        """Ask for more time, so that no other worker gets these messages."""
        handles: list[Any] = [each.handle for each in messages]

        async def all_of_them() -> None:
            if self._loop.time() < self._prolong_at:
                return
            self._prolong_at = self._loop.time() + self._ack_wait / _PROLONG_TIMES
            for handle in handles:
                await handle.in_progress()

        if handles:
            self._do(all_of_them)

    def waiting(self) -> Waiting | None:
        """The backlog of the stream for all workers; None until the server has reported it."""
        return self._waiting

    def errors(self) -> list[str]:
        """See :class:`~collectors.gateway.source.Source`."""
        return [self._said.popleft() for _ in range(len(self._said))]

    def close(self) -> None:
        """See :class:`~collectors.gateway.source.Source`."""
        if self._thread.is_alive():
            future = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
            with suppress(TimeoutError):  # unacknowledged messages are redelivered
                future.result(_STOP_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def guarded() -> None:
            from nats.errors import Error

            try:
                await work()
            except (Error, OSError, TimeoutError) as error:  # an unacknowledged message is redelivered
                self._fail(f"NATS at {self._server.place}: {_sentence(error)}")

        def begin() -> None:
            task = self._loop.create_task(guarded())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._loop.call_soon_threadsafe(begin)

    # The methods below run on the loop's thread.

    async def _run(self) -> None:
        """Connect, subscribe, and query the backlog, forever."""
        from nats.errors import Error

        subscribed = False
        while True:
            try:
                client = await self._connected()
                jetstream = client.jetstream(timeout=_ANSWER_SECONDS)
                info = await jetstream.consumer_info(self._stream, self._consumer)
                if not subscribed:
                    assert info.config is not None
                    self._ack_wait = info.config.ack_wait or self._ack_wait
                    await jetstream.subscribe_bind(
                        self._stream, info.config, self._consumer, cb=self._receive, manual_ack=True
                    )
                    subscribed = True
                    self._log(f"subscribed to {self._consumer} of the stream {self._stream} at {self._server.place}")
                await self._ask(jetstream, info)
                self._failures.clear()
                await asyncio.sleep(_ASK_SECONDS)
            except (Error, OSError, TimeoutError, TypeError) as error:
                said = "the consumer has no deliver_subject" if isinstance(error, TypeError) else _sentence(error)
                self._fail(
                    f"the stream {self._stream} at {self._server.place} gives no messages of its consumer "
                    f"{self._consumer} ({said}); `sensetig simulate --make-stream` makes both"
                )
                await asyncio.sleep(_RETRY_SECONDS)

    async def _connected(self) -> Client:
        import nats

        if self._client is None or self._client.is_closed:
            server = self._server
            connecting = nats.connect(
                f"{'tls' if server.tls else 'nats'}://{server.place}",
                user=server.user,
                password=server.password,
                tls=self._context,
                name="sensetig gateway",
                connect_timeout=int(_ANSWER_SECONDS),
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                error_cb=self._met,
            )
            # With endless reconnects, the library also tries the first connection endlessly.
            self._client = await asyncio.wait_for(connecting, _ANSWER_SECONDS)
        if not self._client.is_connected:
            raise ConnectionError("the connection is lost; trying again")
        return self._client

    async def _ask(self, jetstream: Any, info: Any) -> None:
        """Record the number of messages that no worker has acknowledged, and the age of the oldest."""
        from nats.js.errors import NotFoundError

        messages = (info.num_pending or 0) + (info.num_ack_pending or 0)
        oldest_ns = None
        if messages and info.ack_floor is not None:
            try:
                raw = await jetstream.get_msg(self._stream, seq=info.ack_floor.stream_seq + 1, next=True, subject=">")
                if raw.time is not None:
                    oldest_ns = int(raw.time.timestamp() * 1e9)
            except NotFoundError:
                pass  # the stream has dropped it in the meantime
        self._waiting = Waiting(messages, oldest_ns)

    async def _receive(self, message: Msg) -> None:
        try:
            number, time_ns = stored(message.reply)
        except ValueError as error:
            self._said.append(f"NATS at {self._server.place} gave a message that is not of a stream: {error}")
            return
        # Two messages with the same time are two points.
        time_ns += number % 100
        topic = message.subject.replace(".", "/")
        self._inbox.put(Incoming(topic, bytes(message.data), time_ns, None, message))

    async def _met(self, error: Exception) -> None:
        self._fail(f"NATS at {self._server.place}: {_sentence(error)}")

    def _fail(self, sentence: str) -> None:
        """Report each error of an outage once, although each attempt to connect repeats it."""
        if sentence not in self._failures and len(self._failures) < _MAX_FAILURES:
            self._failures.add(sentence)
            self._said.append(sentence)

    async def _end(self) -> None:
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        if self._client is not None:
            await self._client.flush()
            await self._client.close()


def _encryption(server: Server) -> ssl.SSLContext | None:
    if not server.tls:
        return None
    try:
        return client_context(server.ca_file)
    except OSError as error:  # including ssl.SSLError
        raise Unavailable(f"ca_file {error.filename} cannot be used as certificates: {error}") from None


def _sentence(error: Exception) -> str:
    description = getattr(error, "description", None)
    return str(description or error).removeprefix("nats: ") or type(error).__name__
