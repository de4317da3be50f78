"""The reference page of the HTTP interfaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from collectors.camera.control.endpoints import COMMON, ENDPOINTS, Endpoint
from sensetig.reference.markdown import table

_PAGE = """# HTTP reference

<!-- Built by `sensetig reference` from the tables of endpoints: change those, not this file. -->

The programs of the bundle that answer HTTP. InfluxDB and Grafana have their own interfaces, which their vendors
describe. [Security](../explanation/security.md#open-ports) lists the ports.
"""

_CAMERA = """## Camera

Off unless `control_port` is set; [the guide](../how-to/camera-control.md) has examples, bounds and settings. An error
is `{"error": "one sentence"}`.

The hub's proxy serves `GET /camera/DEVICE/PATH`, with the `clip_path` or `snapshot_path` of an event, to everyone to
whom Grafana shows the dashboard *Camera*: [clips in Grafana](../how-to/camera-media.md#play-a-clip-in-grafana).
"""


class Service(NamedTuple):
    """A program with one HTTP endpoint.

    Args:
        title: of its section.
        place: its address.
        method, path: of the endpoint.
        help: one sentence.
        answers: a sentence for each status code.
    """

    title: str
    place: str
    method: str
    path: str
    help: str
    answers: Mapping[int, str]


_WRITE_HELP = "Takes line protocol as InfluxDB does, with `org`, `bucket` and `precision` in the query."

OUTBOX = Service(
    "Outbox",
    "The Unix socket `/run/sensetig-outbox/write.sock` of every machine.",
    "POST",
    "/api/v2/write",
    _WRITE_HELP,
    {
        204: "The points are in InfluxDB or safe on the disk; then with the header `X-SenseTIG-Waiting`.",
        400: "The query or the body cannot be read.",
        413: "The body is too large.",
        503: "There is no room on the disk; points wait at the writer.",
    },
)

RECEIVER = Service(
    "Receiver of a hub",
    "Port 443 of the hub, through nginx, with a device's certificate and token.",
    "POST",
    "/api/v2/write",
    _WRITE_HELP,
    {
        204: "The points are in InfluxDB.",
        400: "The query or the body cannot be read.",
        401: "InfluxDB refuses the token.",
        403: "The request has no valid certificate, or it is revoked.",
        413: "The body is too large.",
        422: "A point has the name of another device, or InfluxDB refuses it.",
        503: "InfluxDB does not answer, or its disk is nearly full; points wait at the device.",
    },
)

ENROLMENT = Service(
    "Enrolment",
    "Port 8087 of a hub with `enrolment_enabled`, through nginx.",
    "POST",
    "/enrol",
    "Takes a Pi's name, token and public host keys as JSON.",
    {
        200: "The Pi is accepted; the hub installs it.",
        400: "The request cannot be read.",
        403: "The token is unknown, used or expired.",
        413: "The request is too long.",
        503: "The hub cannot write the request.",
    },
)

SERVICES = (OUTBOX, RECEIVER, ENROLMENT)


def render_http() -> str:
    """The page of endpoints, in Markdown."""
    parts = [_PAGE, _CAMERA]
    for endpoint in ENDPOINTS:
        parts.extend(_endpoint(endpoint))
    parts += ["### Statuses of every path\n", *_answers(COMMON)]
    for service in SERVICES:
        parts += [f"## {service.title}\n", service.place + "\n", f"### {service.method} `{service.path}`\n"]
        parts += [service.help + "\n", *_answers(service.answers)]
    return "\n".join(parts)


def _endpoint(endpoint: Endpoint) -> Iterator[str]:
    yield f"### {', '.join(endpoint.methods)} `{endpoint.path}`\n"
    yield f"{endpoint.summary} A good answer is `{endpoint.type}`.\n"
    if endpoint.parameters:
        rows = [
            [f"`{each.name}`", "yes" if each.required else "no", each.help,
             ", ".join(f"{key} {value}" for key, value in each.schema.items())]
            for each in endpoint.parameters
        ]  # fmt: skip
        yield from table(("parameter", "required", "meaning", "schema"), rows)
    yield from _answers(endpoint.answers)


def _answers(answers: Mapping[int, str]) -> Iterator[str]:
    yield from table(("status", "meaning"), [[str(status), text] for status, text in sorted(answers.items())])
