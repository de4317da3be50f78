"""The containers of an installation: running, healthy, restarts, memory and CPU, as Docker or Podman reports them.

It reads the engine's HTTP API at a Unix socket and changes nothing. A process with access to that socket controls the
engine, so there is no default: without the setting ``socket`` it emits nothing. docs/how-to/containers.md runs it as a
service with access to the socket only, and delivers its lines from a spool.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from collectors.core.api import Context, NotApplicable, Streaming, Wait
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import Field, Measurement, Tag
from collectors.core.settings import Setting

CONTAINER = Measurement(
    "container",
    "A container of this installation.",
    (
        Tag("name", "The service in compose.yaml, or else the container's name."),
        Tag("image", "The image with its version."),
    ),
    (
        Field("running", int, "", "1 while it runs, else 0; a service that has done its work has ended.", 0, 1),
        Field("exit_code", int, "", "Exit status of its last run; absent while it runs.", -255, 255),
        Field("healthy", int, "", "1 if its health check passes, 0 if it fails; absent without an answer yet.", 0, 1),
        Field("restarts", int, "", "Restarts by the engine since the container was created.", 0),
        Field("uptime_seconds", float, "seconds", "Time since its start; while it runs.", 0),
        Field("memory_bytes", int, "bytes", "Memory in use without the cache of files; while it runs.", 0),
        Field("cpu_seconds", float, "seconds", "Processor time since its start; while it runs.", 0),
    ),
)
MEASUREMENTS = (CONTAINER,)

SOCKET: Setting[str | None] = Setting(
    "socket",
    str,
    None,
    "Socket of the engine, such as /run/podman/podman.sock or /var/run/docker.sock; a folder holds recorded answers.",
)
PROJECT = Setting("project", str, "sensetig", "Project of Compose whose containers are reported; empty for all.")
INTERVAL_SECONDS = Setting(
    "interval_seconds", float, 30.0, "Seconds between two batches; 0 for a single batch.", low=0, high=86400
)
SETTINGS: tuple[Setting[Any], ...] = (SOCKET, PROJECT, INTERVAL_SECONDS)

#: The oldest version of Docker's API that has all of this; Podman supports it as well.
_API = "/v1.40"

_TIMEOUT_SECONDS = 10.0
_MAX_ANSWER_BYTES = 4 * 1024 * 1024

#: Labels of Compose: Docker Compose writes the first, podman-compose both.
_PROJECT_LABELS = ("com.docker.compose.project", "io.podman.compose.project")
_SERVICE_LABEL = "com.docker.compose.service"

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)

#: Takes a path of the API; returns the decoded response, or None if the object does not exist (any more).
Get = Callable[[str], Any]


class EngineError(Exception):
    """The engine does not answer; the message is a sentence."""


def engine(path: str) -> Get:
    """A reader of the API at a socket."""
    import socket
    from http.client import HTTPConnection, HTTPException

    class Connection(HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(_TIMEOUT_SECONDS)
            self.sock.connect(path)

    def get(query: str) -> Any:
        connection = Connection("localhost")
        try:
            connection.request("GET", _API + query)
            answer = connection.getresponse()
            body = answer.read(_MAX_ANSWER_BYTES + 1)
        except (OSError, HTTPException) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise EngineError(
                f"the engine at {path} does not answer: {reason or error or type(error).__name__}; check the setting "
                "socket and this user's right to it"
            ) from None
        finally:
            connection.close()
        if answer.status == 404:
            return None
        if answer.status != 200 or len(body) > _MAX_ANSWER_BYTES:
            raise EngineError(f"the engine at {path} answered {query.partition('?')[0]} with status {answer.status}")
        return _decoded(body, path)

    return get


def recorded(folder: str) -> Get:
    """A reader of recorded responses in files, each named after its path, with ``_`` for ``/``."""

    def get(query: str) -> Any:
        name = query.partition("?")[0].strip("/").replace("/", "_") + ".json"
        try:
            with open(os.path.join(folder, name), "rb") as file:
                return _decoded(file.read(_MAX_ANSWER_BYTES), folder)
        except FileNotFoundError:
            return None

    return get


def _decoded(body: bytes, where: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise EngineError(f"the answer of the engine at {where} is no JSON") from None


def listed(answer: Any, project: str) -> list[str]:
    """The ids of a project's containers, from the list of all."""
    found = []
    for entry in answer if isinstance(answer, list) else ():
        labels = _mapping(entry, "Labels")
        if not project or any(labels.get(label) == project for label in _PROJECT_LABELS):
            id = _mapping(entry).get("Id")
            if isinstance(id, str) and re.fullmatch(r"[0-9a-f]{12,64}", id):
                found.append(id)
    return found


def measured(inspected: Any, stats: Any, now_ns: int) -> Metric | None:
    """The point of a container, from its inspection and its statistics; None if it has no name.

    A value that is missing or has an unexpected type is left out.
    """
    state, config = _mapping(inspected, "State"), _mapping(inspected, "Config")
    labels = _mapping(config, "Labels")
    name = labels.get(_SERVICE_LABEL) or _mapping(inspected).get("Name")
    image = config.get("Image")
    if not isinstance(name, str) or not name.strip("/") or not isinstance(image, str) or not image:
        return None
    running = state.get("Running") is True
    fields: dict[str, FieldValue] = {"running": int(running)}
    health = _mapping(state, "Health").get("Status")
    if running and health in ("healthy", "unhealthy"):
        fields["healthy"] = int(health == "healthy")
    _keep(fields, "restarts", _mapping(inspected).get("RestartCount"))
    if running:
        started = _seconds(state.get("StartedAt"))
        if started is not None:
            fields["uptime_seconds"] = max(0.0, now_ns / 1e9 - started)
        memory = _mapping(stats, "memory_stats")
        usage, cache = memory.get("usage"), _mapping(memory, "stats").get("inactive_file", 0)
        if _is_count(usage) and _is_count(cache):
            fields["memory_bytes"] = max(0, usage - cache)
        total = _mapping(_mapping(stats, "cpu_stats"), "cpu_usage").get("total_usage")
        if _is_count(total):
            fields["cpu_seconds"] = total / 1e9
    else:
        _keep(fields, "exit_code", state.get("ExitCode"))
    return Metric(Series(CONTAINER.name, {"name": name.strip("/"), "image": image}), fields, now_ns)


def _mapping(value: Any, key: str | None = None) -> Mapping[str, Any]:
    found = value.get(key) if key is not None and isinstance(value, dict) else value if key is None else None
    return found if isinstance(found, dict) else {}


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**63


def _keep(fields: dict[str, FieldValue], name: str, value: Any) -> None:
    if type(value) is int and -(2**31) <= value < 2**63:
        fields[name] = value


def _seconds(text: Any) -> float | None:
    """Seconds since 1970 of a time in Go's format, with up to nine decimals."""
    from datetime import datetime

    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    try:
        seconds = datetime.fromisoformat(match[1] + match[3]).timestamp() + float(match[2] or 0)
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None  # a container that never ran has the year 1


class Containers:
    """Reports each container of the project, batch after batch.

    Args:
        get: reads the engine's API.
        project: the project whose containers are reported.
        seconds: between two batches, or 0 for one.
        clock_ns: wall clock, nanoseconds since 1970.
        error: counts and reports a sentence.
    """

    def __init__(
        self, get: Get, project: str, seconds: float, clock_ns: Callable[[], int], error: Callable[[str], None]
    ) -> None:
        self._get = get
        self._project = project
        self._seconds = seconds
        self._clock_ns = clock_ns
        self._error = error

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """Yield a batch at each interval. An unavailable engine is a counted error, and is retried."""
        while True:
            yield self.batch()
            if not self._seconds or wait(self._seconds):
                return

    def batch(self) -> list[Metric]:
        """A point for each container."""
        found = []
        try:
            for id in listed(self._get("/containers/json?all=1"), self._project):
                inspected = self._get(f"/containers/{id}/json")
                if inspected is None:
                    continue  # removed in the meantime
                running = _mapping(inspected, "State").get("Running") is True
                stats = self._get(f"/containers/{id}/stats?stream=false&one-shot=true") if running else None
                metric = measured(inspected, stats, self._clock_ns())
                if metric is not None:
                    found.append(metric)
        except EngineError as error:
            self._error(str(error))
        return found

    def close(self) -> None:
        """Do nothing: the collector holds no resources."""


def create(context: Context) -> Streaming:
    """The collector. Raises NotApplicable without a socket in the settings."""
    path = context.values[SOCKET]
    if not path:
        raise NotApplicable("the setting socket of container names no engine")
    get = recorded(path) if os.path.isdir(path) else engine(path)
    return Containers(
        get,
        context.values[PROJECT],
        context.values[INTERVAL_SECONDS],
        context.clock_ns,
        context.report.error,
    )
