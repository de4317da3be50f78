"""The table of endpoints, the source of the routes and of OpenAPI; tests compare the docs with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from collectors import __version__
from collectors.camera.settings import TUNABLE

#: Maximum and default number of events on a page.
MAX_EVENTS, DEFAULT_EVENTS = 200, 50


#: What can be seen of detection; the names are those of :mod:`collectors.camera.drawing`.
VIEWS = ("frame", "background", "difference", "changed")


def _range(low: float | None, high: float | None) -> dict[str, float]:
    bounds = {"minimum": low, "maximum": high}
    return {name: value for name, value in bounds.items() if value is not None}


class Parameter(NamedTuple):
    """A query parameter.

    Args:
        schema: its JSON Schema.
    """

    name: str
    help: str
    schema: Mapping[str, Any]
    required: bool = False


class Endpoint(NamedTuple):
    """A path and its answers.

    Args:
        path: as in a URL, with variable parts in braces.
        methods: the supported methods.
        summary: one sentence.
        type: the media type of a successful answer.
        answers: a sentence for each status; the statuses of all endpoints are in :data:`COMMON`.
        parameters: query parameters; others are refused.
        act: whether the camera does something, so that pages of other sites may not call it.
        open: whether it needs no token, since a browser cannot send one for a page, and the answer is no secret.
    """

    path: str
    methods: tuple[str, ...]
    summary: str
    type: str
    answers: Mapping[int, str]
    parameters: tuple[Parameter, ...] = ()
    act: bool = False
    open: bool = False


_JSON_TYPES = {str: "string", int: "integer", float: "number"}

#: Settings of detection, as parameters.
_TUNABLE = tuple(
    Parameter(each.name, each.help, {"type": _JSON_TYPES[each.kind], **_range(each.low, each.high)}) for each in TUNABLE
)

_OFF = {404: "`control_tune` is off."}

_ACTED = {
    403: "A page of another site has sent the request.",
    429: "Too many requests wait for the camera; nothing was done.",
    503: "The camera or the disk cannot do it now; the sentence says why.",
    504: "The camera did not answer in time.",
}

ENDPOINTS = (
    Endpoint(
        "/take_photo",
        ("POST", "GET"),
        "Keep a picture in full size.",
        "application/json",
        {201: "It is on disk: its path and its URL.", **_ACTED},
        act=True,
    ),
    Endpoint(
        "/take_video",
        ("POST", "GET"),
        "Begin a clip, with the time before it.",
        "application/json",
        {
            202: "It has begun: the path and the URL that it will have, a moment after it has ended.",
            422: "The seconds are missing, or too many.",
            **_ACTED,
        },
        (
            Parameter(
                "seconds",
                "How long from now, up to `clip_seconds_most`.",
                {"type": "number", "exclusiveMinimum": 0},
                True,
            ),
        ),
        act=True,
    ),
    Endpoint(
        "/snapshot.jpg",
        ("GET", "HEAD"),
        "The newest picture.",
        "image/jpeg",
        {200: "A JPEG.", 503: "There is no picture yet, or none of late."},
    ),
    Endpoint(
        "/stream.mjpg",
        ("GET",),
        "The live pictures, one after another, until the client has enough.",
        "multipart/x-mixed-replace",
        {200: "JPEGs, at most `stream_frame_rate` a second.", 503: "As many watch as may (`streams_most`)."},
    ),
    Endpoint(
        "/events",
        ("GET", "HEAD"),
        "The events since the start, newest first, with links to their media.",
        "application/json",
        {200: "A page of events, and the URL of the next one.", 422: "The limit is out of range."},
        (
            Parameter(
                "limit",
                "How many at most.",
                {"type": "integer", "minimum": 1, "maximum": MAX_EVENTS, "default": DEFAULT_EVENTS},
            ),
            Parameter("before", "Only events before that of this id.", {"type": "string", "maxLength": 200}),
        ),
    ),
    Endpoint(
        "/media/{path}",
        ("GET", "HEAD"),
        "A file of the media.",
        "image/jpeg, video/mp4",
        {
            200: "The file.",
            206: "The range of it that was asked for.",
            404: "There is no such file.",
            416: "The range begins past its end.",
        },
    ),
    Endpoint(
        "/healthz",
        ("GET", "HEAD"),
        "Whether pictures come.",
        "application/json",
        {200: "They do.", 503: "None has come of late; the answer has the same keys."},
    ),
    Endpoint(
        "/tune",
        ("GET", "HEAD"),
        "The page for tuning.",
        "text/html; charset=utf-8",
        {200: "A page.", **_OFF},
        open=True,
    ),
    Endpoint(
        "/tune.css",
        ("GET", "HEAD"),
        "Its style.",
        "text/css; charset=utf-8",
        {200: "A style sheet.", **_OFF},
        open=True,
    ),
    Endpoint(
        "/tune.js",
        ("GET", "HEAD"),
        "Its program.",
        "text/javascript; charset=utf-8",
        {200: "A program.", **_OFF},
        open=True,
    ),
    Endpoint(
        "/tune_state",
        ("GET",),
        "The settings of detection, and what a detector with those that are tried sees.",
        "application/json",
        {200: "The settings, and the newest result.", **_OFF},
    ),
    Endpoint(
        "/tune_picture",
        ("GET",),
        "What that detector sees.",
        "image/jpeg",
        {200: "A JPEG.", 422: "There is no such view.", 503: "There is no picture yet.", **_OFF},
        (Parameter("view", "Which of its pictures.", {"type": "string", "enum": list(VIEWS)}, True),),
    ),
    Endpoint(
        "/tune_try",
        ("POST",),
        "Try settings, without effect on events.",
        "application/json",
        {200: "They are tried.", 403: _ACTED[403], 422: "A setting is wrong.", **_OFF},
        _TUNABLE,
        act=True,
    ),
    Endpoint(
        "/tune_use",
        ("POST",),
        "Use settings until the camera is restarted.",
        "application/json",
        {200: "They are used.", 403: _ACTED[403], 422: "A setting is wrong.", **_OFF},
        _TUNABLE,
        act=True,
    ),
    Endpoint(
        "/tune_save",
        ("POST",),
        "Use settings, and write them to the settings file.",
        "application/json",
        {200: "They are in the file.", 403: _ACTED[403], 422: "A setting is wrong, or cannot be saved.", **_OFF},
        _TUNABLE,
        act=True,
    ),
    Endpoint(
        "/openapi.json", ("GET", "HEAD"), "This table, as OpenAPI.", "application/json", {200: "The description."}
    ),
)

#: Statuses of all endpoints.
COMMON = {
    400: "The request is no HTTP, or its address is not this server's.",
    401: "The token is missing or wrong.",
    413: "The request has a body; all that is asked is in the URL.",
    431: "The request is too long.",
    500: "The camera's program has failed; its log says how.",
}


def openapi(*, token: bool) -> dict[str, Any]:
    """The table as an OpenAPI document.

    Args:
        token: whether requests need one.
    """
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "SenseTIG camera control", "version": __version__},
        "paths": {endpoint.path: _methods(endpoint) for endpoint in ENDPOINTS},
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string", "description": "One sentence."}},
                }
            }
        },
    }
    if token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _methods(endpoint: Endpoint) -> dict[str, Any]:
    parameters = [
        {"name": each.name, "in": "query", "required": each.required, "description": each.help, "schema": each.schema}
        for each in endpoint.parameters
    ]
    if "{path}" in endpoint.path:
        parameters.append(
            {
                "name": "path",
                "in": "path",
                "required": True,
                "description": "As /events and the event's point have it; it may have slashes in it.",
                "schema": {"type": "string"},
            }
        )
    answers = {**endpoint.answers, **COMMON, 422: endpoint.answers.get(422, "A parameter is unknown.")}
    name = endpoint.path.strip("/").split("/")[0].replace(".", "_")
    return {
        method.lower(): {
            "operationId": f"{method.lower()}_{name}",
            "summary": endpoint.summary,
            "parameters": parameters,
            "responses": {
                str(status): {"description": sentence, "content": _content(endpoint, status)}
                for status, sentence in sorted(answers.items())
            },
        }
        for method in endpoint.methods
    }


def _content(endpoint: Endpoint, status: int) -> dict[str, Any]:
    if status < 300:
        return {each: {} for each in endpoint.type.split(", ")}
    if endpoint.path == "/healthz" and status == 503:
        return {"application/json": {}}
    return {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
