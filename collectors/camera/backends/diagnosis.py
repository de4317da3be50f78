"""Why a stream delivers no frame, in one sentence that states only findings."""

from __future__ import annotations

import errno
from typing import NamedTuple

import av
import urllib3

#: Statuses that FFmpeg distinguishes; for others it only reports whether they begin with 4 or 5.
_STATUSES = {
    "HTTPBadRequestError": "400",
    "HTTPUnauthorizedError": "401",
    "HTTPForbiddenError": "403",
    "HTTPNotFoundError": "404",
    "HTTPTooManyRequestsError": "429",
    "HTTPOtherClientError": "4xx",
    "HTTPServerError": "5xx",
}
#: Errors in the received data rather than in the connection.
_UNREADABLE = (av.InvalidDataError, av.EOFError)
_ADVICE = {
    "401": "check the user and the password in the source, with special characters percent-encoded",
    "403": "check the user, the password and the path in the source",
    "404": "check the path in the source, which the camera's manual or its settings page names",
    "4xx": "check the path, the user and the password in the source",
    "5xx": "check on the camera's own page that it works and has not too many viewers",
}


class Finding(NamedTuple):
    """The observations of an attempt to open a stream.

    Args:
        status: of the response, if it is an error.
        kinds: of the streams, such as ``video`` and ``audio``; None if it could not be opened.
        codec: of the video.
        packets: number of packets of video.
        keys: number of key frames.
        ended: whether the stream ended.
        refused: why no connection was made.
        invalid: why the received data are no stream.
        silent: whether nothing that can be read arrived in time.
    """

    status: str = ""
    kinds: tuple[str, ...] | None = None
    codec: str = ""
    packets: int = 0
    keys: int = 0
    ended: bool = False
    refused: str = ""
    invalid: str = ""
    silent: bool = False


def explain(shown: str, found: Finding, waited: float, timeout: float) -> str:
    """One sentence: the finding, and the remedy.

    Args:
        shown: the stream, without user, password and path.
        found: the finding.
        waited: seconds that the attempt took.
        timeout: the setting ``timeout_seconds``.
    """
    within = f" within {timeout:g} s" if waited >= 0.9 * timeout else ""
    head = f"{shown} delivers no frame"
    if found.silent:
        return (
            f"{head}{within}: nothing that FFmpeg can read has arrived; check its address, port and path, and that the "
            "camera is on"
        )
    if found.status:
        advice = _ADVICE.get(found.status) or _ADVICE["5xx" if found.status.startswith("5") else "4xx"]
        return f"{head}: it answers with status {found.status}; {advice}"
    if found.refused:
        return f"{head}: it cannot be reached: {found.refused}; check its address and port, and that the camera is on"
    if found.invalid:
        return (
            f"{head}: it answers with something that FFmpeg cannot read ({found.invalid}); check that the path is that "
            "of a video stream"
        )
    if found.kinds is not None and "video" not in found.kinds:
        streams = " and ".join(sorted(set(found.kinds))) or "nothing"
        return f"{head}: it sends {streams}, and no video; set source to the address of its video"
    end = ", and it has ended" if found.ended else ""
    if found.packets:
        came = f"{head}{within}: {found.packets} {found.codec} packets arrived"
        if found.keys:
            return (
                f"{came}, and no picture can be decoded from them{end}; set another codec in the camera, such as H.264"
            )
        return (
            f"{came}, and no key frame among them, which a picture needs to begin with{end}; "
            "set the camera's key frame interval to 2 s or less, or increase timeout_seconds"
        )
    return (
        f"{head}{within}: it announces video and sends none{end}; set rtsp_transport to another value, "
        "and check that no firewall drops its packets"
    )


def finding(url: str, error: Exception, timeout: float) -> Finding:
    """The finding for an error of FFmpeg while a stream is opened.

    Args:
        url: the stream.
        error: the error.
        timeout: maximum time to ask for the exact status, in seconds.
    """
    status = _STATUSES.get(type(error).__name__, "")
    reason = str(getattr(error, "strerror", "") or type(error).__name__)
    if status:
        return Finding(status=_http_status(url, status, timeout))
    if type(error).__name__ in ("ExitError", "TimeoutError"):
        return Finding(silent=True)
    if isinstance(error, OSError) and error.errno != errno.EIO and not isinstance(error, _UNREADABLE):
        return Finding(refused=reason)
    return Finding(invalid=reason)


def _http_status(url: str, status: str, seconds: float) -> str:
    """The exact status: FFmpeg reports only its first digit."""
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
    # FFmpeg supports more authentication methods, so its own request may not have got this 401.
    return exact if exact.startswith(status[0]) and exact != "401" else status
