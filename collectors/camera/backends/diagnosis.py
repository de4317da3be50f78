"""Why a stream delivers no frame: looks at it once more with PyAV, which tells the status and what it carries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import urllib3

#: Maximum time for the second look: for the connection, for a read, and for packets of video.
_LOOK_SECONDS = 5.0
#: Number of packets after which the stream is known to send video.
_ENOUGH_PACKETS = 20
#: Maximum analysis of a stream before its packets are read, in microseconds.
_ANALYSIS_MICROSECONDS = "2000000"
#: Statuses that FFmpeg tells apart; of others, only whether they begin with 4 or 5.
_STATUSES = {
    "HTTPBadRequestError": "400",
    "HTTPUnauthorizedError": "401",
    "HTTPForbiddenError": "403",
    "HTTPNotFoundError": "404",
    "HTTPTooManyRequestsError": "429",
    "HTTPOtherClientError": "4xx",
    "HTTPServerError": "5xx",
}
_ADVICE = {
    "401": "check the user and the password in the source, with special characters percent-encoded",
    "403": "check the user, the password and the path in the source",
    "404": "check the path in the source, which the camera's manual or its settings page names",
    "4xx": "check the path, the user and the password in the source",
    "5xx": "check on the camera's own page that it works and has not too many viewers",
}


class Finding(NamedTuple):
    """What the second look has seen.

    Args:
        status: of the answer, if it is an error.
        kinds: of the streams, such as ``video`` and ``audio``; None if it could not be opened.
        codec: of the video.
        packets: number of packets of video.
        decoded: whether one became a picture.
        refused: why no connection was made.
        invalid: why what was received is no stream.
        silent: whether there was no answer in time.
    """

    status: str = ""
    kinds: tuple[str, ...] | None = None
    codec: str = ""
    packets: int = 0
    decoded: bool = False
    refused: str = ""
    invalid: str = ""
    silent: bool = False


def explain(shown: str, found: Finding | None, waited: float, timeout: float) -> str:
    """One sentence: what was seen, and what to try.

    Args:
        shown: the stream, without user, password and path.
        found: result of the second look; None without one.
        waited: seconds that the first attempt took.
        timeout: the setting ``timeout_seconds``.
    """
    within = f" within {timeout:g} s" if waited >= 0.9 * timeout else ""
    head = f"{shown} delivers no frame"
    if found is None:
        return f"{head}{within}; check its address, user and password, and that it can be reached from here"
    if found.silent:
        return f"{head}{within} and does not answer; check its address and port, and that the camera is on"
    if found.status:
        advice = _ADVICE.get(found.status) or _ADVICE["5xx" if found.status.startswith("5") else "4xx"]
        return f"{head}: it answers with status {found.status}; {advice}"
    if found.refused:
        return f"{head}: it cannot be reached: {found.refused}; check its address and port, and that the camera is on"
    if found.invalid:
        return (
            f"{head}: it answers with something that FFmpeg cannot read ({found.invalid}); check that the path is that "
            "of a video stream, and that each part of a multipart stream begins with its boundary"
        )
    if found.kinds is not None and "video" not in found.kinds:
        streams = " and ".join(sorted(set(found.kinds))) or "nothing"
        return f"{head}: it sends {streams}, and no video; set source to the address of its video"
    if found.packets and not found.decoded:
        return (
            f"{head}{within}: {found.codec} packets arrive, and no key frame among them so far that a picture can be "
            "decoded from; set the camera's key frame interval to 2 s or less, or increase timeout_seconds"
        )
    if found.decoded:
        return f"{head}{within}, and one arrived at a second attempt; increase timeout_seconds"
    return (
        f"{head}{within}: it announces video and sends none; set rtsp_transport to another value, "
        "and check that no firewall drops its packets"
    )


def look(url: str, transport: str, timeout: float, timer: Callable[[], float] = time.monotonic) -> Finding | None:
    """Look at a stream once more; None without PyAV."""
    try:
        import av
    except ImportError:
        return None
    seconds = min(_LOOK_SECONDS, timeout)
    options = {"rtsp_transport": transport} if url.lower().startswith("rtsp") else {}
    try:
        with av.open(
            url, timeout=(seconds, seconds), options={**options, "analyzeduration": _ANALYSIS_MICROSECONDS}
        ) as container:
            kinds = tuple(stream.type for stream in container.streams)
            if not container.streams.video:
                return Finding(kinds=kinds)
            stream = container.streams.video[0]
            found = Finding(kinds=kinds, codec=stream.codec_context.name)
            end = timer() + seconds
            try:
                for packet in container.demux(stream):
                    found = found._replace(packets=found.packets + bool(packet.size))
                    if _decodes(packet):
                        return found._replace(decoded=True)
                    if found.packets >= _ENOUGH_PACKETS or timer() >= end:
                        break
            except (av.FFmpegError, OSError):
                return found  # it ended; what was seen until then counts
            return found
    except av.FFmpegError as error:
        return _failed(url, error, seconds)


def _decodes(packet: object) -> bool:
    import av

    assert isinstance(packet, av.Packet)
    try:
        return bool(packet.decode())
    except av.FFmpegError:
        return False  # damaged, or in need of a picture that did not come


def _failed(url: str, error: Exception, seconds: float) -> Finding:
    """The finding for an error of FFmpeg."""
    status = _STATUSES.get(type(error).__name__, "")
    reason = str(getattr(error, "strerror", "") or type(error).__name__)
    if status:
        return Finding(status=_http_status(url, status, seconds))
    if type(error).__name__ in ("ExitError", "TimeoutError"):
        return Finding(silent=True)
    if isinstance(error, OSError) and type(error).__name__ != "InvalidDataError":
        return Finding(refused=reason)
    return Finding(invalid=reason)


def _http_status(url: str, status: str, seconds: float) -> str:
    """The exact status, of which FFmpeg tells the first digit alone."""
    if not url.lower().startswith("http") or not status.endswith("xx"):
        return status
    try:
        auth = urllib3.util.parse_url(url).auth
        response = urllib3.PoolManager(retries=False, timeout=seconds).request(
            "GET", url, headers=urllib3.make_headers(basic_auth=auth) if auth else None, preload_content=False
        )
    except urllib3.exceptions.HTTPError:
        return status
    response.close()
    exact = str(response.status)
    # FFmpeg knows more ways to log in, so this 401 need not be what it was answered.
    return exact if exact.startswith(status[0]) and exact != "401" else status
