"""The HTTP endpoints of the camera: answers, authentication and refusals."""

from __future__ import annotations

import http.client
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.camera.control.app import Endpoints, handler_name
from collectors.camera.control.endpoints import COMMON, ENDPOINTS, Endpoint, openapi
from collectors.camera.media import MediaError
from collectors.core.settings import Values
from tests.golden import ROOT
from tests.unit.camera_control_support import Answer, ScriptedMedia, Site, Viewer, event, site, until

TOKEN = "0123456789abcdef" * 2


def stocked(folder: Path) -> ScriptedMedia:
    """Media on disk."""
    (folder / "2026/11/21").mkdir(parents=True)
    (folder / "2026/11/21/photo.jpg").write_bytes(b"0123456789")
    (folder / "2026/11/21/video.mp4").write_bytes(bytes(range(256)) * 1024)
    return ScriptedMedia(str(folder))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with media on disk, for all tests that leave it as it was: to end one takes a fifth of a second."""
    with site(stocked(tmp_path_factory.mktemp("media")), tune=Values()) as made:
        yield made


@pytest.fixture
def on(shared: Site) -> Site:
    """The shared server, without requests so far."""
    shared.media.failure = None
    shared.media.asked.clear()
    shared.complaints.clear()
    shared.show()
    return shared


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    """A server of the test's own."""
    with site(stocked(tmp_path)) as made:
        yield made


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_take_photo_answers_with_path_and_link(on: Site, method: str) -> None:
    answer = on.ask("/take_photo", method)
    assert answer.status == 201
    assert answer.json == {"path": "2026/11/21/a photo.jpg", "url": "/media/2026/11/21/a%20photo.jpg"}
    assert answer.headers["location"] == answer.json["url"]
    assert on.media.asked == ["photo"]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_take_video_starts_a_clip_and_answers_with_its_path(on: Site, method: str) -> None:
    answer = on.ask("/take_video?seconds=2.5", method)
    assert answer.status == 202
    assert answer.json == {"path": "2026/11/21/video.mp4", "url": "/media/2026/11/21/video.mp4", "seconds": 2.5}
    assert on.media.asked == ["video 2.5"]


@pytest.mark.parametrize(
    "query",
    ["", "?seconds=", "?seconds=0", "?seconds=-1", "?seconds=60.01", "?seconds=nan", "?seconds=inf", "?seconds=long"]
    + [f"?seconds={odd}" for odd in ("%D9%A3", "%EF%BC%93", "1_0", "%205", "5%0A", "0x5", "1e999")],
)
def test_a_clip_of_invalid_length_is_refused_with_the_limit(on: Site, query: str) -> None:
    answer = on.ask("/take_video" + query, "POST")
    assert (answer.status, answer.error) == (422, "seconds must be a number above 0 and up to 60")
    assert on.media.asked == []


@pytest.mark.parametrize("path", ["/take_photo", "/take_video?seconds=5", "/snapshot.jpg"])
@pytest.mark.parametrize(
    ("failure", "status", "says"),
    [
        (MediaError("the disk is full"), 503, "the disk is full"),
        (RuntimeError("secret"), 500, "the camera's program has failed; its log says how"),
    ],
)
def test_a_failure_of_the_camera_is_answered(on: Site, path: str, failure: Exception, status: int, says: str) -> None:
    on.media.failure = failure
    answer = on.ask(path)
    assert (answer.status, answer.error) == (status, says)
    if status == 500:
        until(lambda: bool(on.complaints))
        assert "RuntimeError: secret" in on.complaints[0]
    else:
        assert on.complaints == []


def test_a_value_that_the_media_refuse_is_answered(on: Site) -> None:
    on.media.failure = ValueError("a clip has at most 5 s")
    answer = on.ask("/take_video?seconds=6")
    assert (answer.status, answer.error) == (422, "a clip has at most 5 s")


def test_the_snapshot_is_the_newest_picture(fresh: Site) -> None:
    fresh.show(2)
    answer = fresh.ask("/snapshot.jpg")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.body.strip() == b"picture 3"
    assert fresh.ask("/snapshot.jpg", "HEAD").body == b""


def test_there_is_no_snapshot_before_the_first_picture_and_long_after_the_last() -> None:
    now = [100.0]
    made = Site(ScriptedMedia(), timer=lambda: now[0])
    try:
        none = made.ask("/snapshot.jpg")
        assert (none.status, none.error) == (503, "the camera has given no picture yet")
        assert made.ask("/healthz").status == 503
        made.show()
        assert made.ask("/snapshot.jpg").status == 200
        now[0] += 5.5
        old = made.ask("/snapshot.jpg")
        assert (old.status, old.error) == (503, "the camera's newest picture is 6 s old")
    finally:
        made.close()


def test_healthz_reports_the_state_of_the_camera() -> None:
    now = [100.0]
    with site(timer=lambda: now[0]) as on:
        for _ in range(20):
            now[0] += 0.1
            on.show()
        now[0] += 0.25
        on.media.recording = True
        good = {
            "ok": True,
            "camera": "door",
            "frames_per_second": 10.0,
            "frame_age_seconds": 0.25,
            "recording": True,
            "detection": True,
            "streams": 0,
        }
        assert on.ask("/healthz").json == good
        on.detection.on = False
        now[0] += 60
        bad = on.ask("/healthz")
        assert bad.status == 503
        assert bad.json == {
            **good,
            "ok": False,
            "frames_per_second": None,
            "frame_age_seconds": 60.25,
            "detection": False,
            "error": "the camera's newest picture is 60 s old",
        }


def test_each_picture_of_the_stream_is_a_part() -> None:
    with site() as on:
        viewer = Viewer(on.port)
        assert viewer.status == 200
        assert viewer.headers["content-type"] == "multipart/x-mixed-replace; boundary=sensetig-picture"
        assert viewer.picture().strip() == b"picture 1"
        on.show()
        assert viewer.picture().strip() == b"picture 2"
        assert on.ask("/healthz").json["streams"] == 1
        viewer.close()
        until(lambda: on.ask("/healthz").json["streams"] == 0)
        assert on.complaints == []


def test_the_stream_waits_for_the_first_picture() -> None:
    made = Site(ScriptedMedia())
    try:
        viewer = Viewer(made.port)
        made.show()
        assert viewer.picture().strip() == b"picture 1"
        viewer.close()
    finally:
        made.close()


def test_a_stream_ends_when_pictures_fail_and_the_failure_is_reported() -> None:
    with site() as on:
        viewer = Viewer(on.port)
        assert viewer.picture()
        on.media.failure = RuntimeError("no encoder")
        on.show()
        assert viewer.picture() == b""
        viewer.close()
        until(lambda: any("no encoder" in complaint for complaint in on.complaints))
        on.media.failure = None
        again = Viewer(on.port)
        assert again.picture().strip() == b"picture 2"
        again.close()


def test_events_are_listed_newest_first_with_links_to_their_media(fresh: Site) -> None:
    fresh.event_log.add(event("start", 1), {})
    started = fresh.ask("/events").json["events"][0]
    assert (started["open"], started["snapshot"], started["clip"]) == (True, None, None)
    fresh.event_log.add(event("start", 2), {})
    fresh.event_log.add(event("end", 1), {"snapshot_path": "2026/11/21/a.jpg", "clip_path": "2026/11/21/a.mp4"})
    answer = fresh.ask("/events").json
    assert answer["next"] is None
    assert [found["event_id"] for found in answer["events"]] == [
        "20261121T080002.000000Z-door",
        "20261121T080001.000000Z-door",
    ]
    assert answer["events"][1] == {
        "event_id": "20261121T080001.000000Z-door",
        "camera": "door",
        "open": False,
        "start": "2026-11-21T08:00:01.000000Z",
        "duration_seconds": 1.5,
        "score": 3.25,
        "area_percent": 2.5,
        "box_percent": {"left": 1, "top": 2, "width": 3, "height": 4},
        "frames": 9,
        "interrupted": False,
        "snapshot": "/media/2026/11/21/a.jpg",
        "clip": "/media/2026/11/21/a.mp4",
    }


def test_events_are_paged_and_the_oldest_dropped(fresh: Site) -> None:
    for number in range(7):
        fresh.event_log.add(event("end", number), {})
    seen: list[str] = []
    path = "/events?limit=2"
    while path:
        page = fresh.ask(path).json
        assert len(page["events"]) <= 2
        seen += [found["event_id"][13:15] for found in page["events"]]
        path = page["next"]
    assert seen == ["06", "05", "04", "03", "02"]
    assert fresh.ask("/events?before=2020").json == {"events": [], "next": None}


@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.5", "x", "", "٣", "9" * 5000])
def test_a_page_out_of_range_is_refused(on: Site, limit: str) -> None:
    answer = on.ask("/events?limit=" + "%D9%A3" if limit == "٣" else f"/events?limit={limit}")
    assert (answer.status, answer.error) == (422, "limit must be a whole number from 1 to 200")


def test_a_media_file_is_served_whole_or_in_part(on: Site) -> None:
    whole = on.ask("/media/2026/11/21/photo.jpg")
    assert (whole.status, whole.body) == (200, b"0123456789")
    assert whole.headers["content-type"] == "image/jpeg"
    assert whole.headers["cache-control"] == "private, no-cache"
    assert on.ask("/media/2026/11/21/video.mp4").headers["content-type"] == "video/mp4"
    head = on.ask("/media/2026/11/21/photo.jpg", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10")


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=5-999", 206, b"56789"),
        ("bytes=-999", 206, b"0123456789"),
        ("bytes=3-2", 200, b"0123456789"),
        ("bytes=0-1,4-5", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("nonsense", 200, b"0123456789"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
    ],
)
def test_a_valid_range_is_served(on: Site, asked: str, status: int, body: bytes | None) -> None:
    answer = on.ask("/media/2026/11/21/photo.jpg", Range=asked)
    assert answer.status == status
    if body is None:
        assert answer.error == "the file has 10 bytes"
        assert answer.headers["content-range"] == "bytes */10"
    else:
        assert answer.body == body


def test_a_large_file_arrives_whole(on: Site) -> None:
    assert on.ask("/media/2026/11/21/video.mp4").body == bytes(range(256)) * 1024


def test_openapi_matches_the_table_of_endpoints(on: Site) -> None:
    assert on.ask("/openapi.json").json == openapi(token=False)
    assert "security" not in openapi(token=False)
    assert openapi(token=True)["security"] == [{"token": []}]


def test_every_endpoint_of_the_table_has_one_handler_and_every_handler_an_endpoint() -> None:
    handlers = {name for name in vars(Endpoints) if not name.startswith("_")}
    assert {handler_name(endpoint) for endpoint in ENDPOINTS} == handlers


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"])
def test_an_endpoint_answers_the_methods_of_its_table_and_no_other(on: Site, endpoint: Endpoint, method: str) -> None:
    path = endpoint.path.replace("{path}", "2026/11/21/photo.jpg")
    path += {"/take_video": "?seconds=1", "/tune_picture": "?view=frame"}.get(path, "")
    if endpoint.path == "/stream.mjpg" and method == "GET":
        viewer = Viewer(on.port)
        assert viewer.status == 200
        viewer.close()
        return
    answer = on.ask(path, method)
    if method in endpoint.methods:
        assert answer.status == min(endpoint.answers)
        assert answer.headers["content-type"] in endpoint.type
    else:
        assert answer.status == 405
        assert answer.headers["allow"] == ", ".join(endpoint.methods)
        assert on.media.asked == []


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_an_unknown_parameter_is_refused_with_the_known_ones(on: Site, endpoint: Endpoint) -> None:
    answer = on.ask(endpoint.path.replace("{path}", "x.jpg") + "?second=1", endpoint.methods[0])
    assert answer.status == 422
    assert "'second' is not a parameter" in answer.error
    assert on.media.asked == []


def test_the_reference_has_every_endpoint_method_and_status() -> None:
    page = (ROOT / "docs" / "reference" / "http-api.md").read_text(encoding="utf-8")
    camera = page.split("\n## Camera\n")[1].split("\n## ")[0]
    endpoints, _, common = camera.partition("\n### Statuses of every path\n")
    rows = {}
    for section in endpoints.split("\n### ")[1:]:
        heading = re.match(r"([A-Z, ]+) `(/[^`]*)`", section)
        assert heading is not None
        statuses = set(map(int, re.findall(r"^\| ([1-5]\d\d) \|", section, re.MULTILINE)))
        rows[heading[2]] = (set(heading[1].split(", ")), statuses)
    assert rows == {endpoint.path: (set(endpoint.methods), set(endpoint.answers)) for endpoint in ENDPOINTS}
    assert {int(found) for found in re.findall(r"^\| ([1-5]\d\d) \|", common, re.MULTILINE)} == set(COMMON)


@pytest.mark.parametrize("path", ["/", "/media", "/media/", "/nothing", "/healthz/", "//", "/docs", "/static/x"])
def test_other_paths_are_not_found(on: Site, path: str) -> None:
    answer = on.ask(path)
    assert answer.status == 404
    assert answer.error


def test_every_answer_has_security_headers(on: Site) -> None:
    for path in ("/healthz", "/snapshot.jpg", "/media/2026/11/21/photo.jpg", "/nothing", "/take_video"):
        headers = on.ask(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cross-origin-resource-policy"] == "same-site"
        assert headers["referrer-policy"] == "no-referrer"
        assert not any(name.startswith("access-control-") for name in headers)
        assert "server" not in headers


TRAVERSAL = [
    "../secret.jpg",
    "2026/../../secret.jpg",
    "2026/../2026/11/21/photo.jpg",
    "./2026/11/21/photo.jpg",
    "..%2fsecret.jpg",
    "%2e%2e/secret.jpg",
    "%2e%2e%2fsecret.jpg",
    "%252e%252e/secret.jpg",
    "..%5csecret.jpg",
    "..%c0%afsecret.jpg",
    "/secret.jpg",
    "%2fetc/passwd",
    "//etc/passwd",
    "2026//11/21/photo.jpg",
    "2026/11/21/photo.jpg/",
    "2026/11/21/photo.jpg%00",
    "2026/11/21/photo.jpg%00.jpg",
    "%00",
    "2026/11/21/.hidden.jpg",
    ".hidden/photo.jpg",
    "2026/11/21/notes.txt",
    "2026/11/21/photo.JPG",
    "2026/11/21/photo.jpg.tmp",
    "2026/11/21",
    "folder.jpg",
    "folder.jpg/",
    "link.jpg",
    "outside/secret.jpg",
    "inside/photo.jpg",
    "pipe.jpg",
    "~/photo.jpg",
    "2026/11/21/%E2%80%AEphoto.jpg",
    "a/" * 20 + "x.jpg",
    "x" * 300 + ".jpg",
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server on a media folder with all kinds of things in it that are not for anybody."""
    folder = tmp_path_factory.mktemp("guarded")
    root = folder / "media"
    (root / "2026/11/21").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "folder.jpg").mkdir()
    (folder / "secret.jpg").write_bytes(b"secret")
    for name in ("photo.jpg", ".hidden.jpg", "notes.txt", "photo.JPG", "photo.jpg.tmp"):
        (root / "2026/11/21" / name).write_bytes(b"secret")
    (root / ".hidden/photo.jpg").write_bytes(b"secret")
    (root / "link.jpg").symlink_to(folder / "secret.jpg")
    (root / "outside").symlink_to(folder)
    (root / "inside").symlink_to(root / "2026/11/21")
    os.mkfifo(root / "pipe.jpg")
    with site(ScriptedMedia(str(root))) as made:
        yield made


@pytest.mark.parametrize("path", TRAVERSAL)
def test_only_media_files_are_served(guarded: Site, path: str) -> None:
    answer = guarded.send(f"GET /media/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    assert answer.split(b"\r\n")[0] == b"HTTP/1.1 404 Not Found"
    assert b"secret" not in answer
    assert guarded.complaints == []


def test_the_media_file_next_to_them_is_served(guarded: Site) -> None:
    assert guarded.ask("/media/2026/11/21/photo.jpg").body == b"secret"


def test_a_root_that_is_a_link_itself_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.jpg").write_bytes(b"picture")
    (tmp_path / "media").symlink_to(tmp_path / "real")
    with site(ScriptedMedia(str(tmp_path / "media"))) as on:
        assert on.ask("/media/a.jpg").body == b"picture"


def test_without_a_media_folder_no_file_is_served() -> None:
    with site() as on:
        assert on.ask("/media/etc/x.jpg").status == 404


@pytest.fixture(scope="module")
def with_token() -> Iterator[Site]:
    """A server that wants a token."""
    with site(token=TOKEN) as made:
        yield made


@pytest.mark.parametrize(
    "given",
    [None, "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xff\xfe"],
)
@pytest.mark.parametrize("path", ["/healthz", "/take_photo", "/stream.mjpg", "/media/a.jpg", "/nothing"])
def test_without_the_token_nothing_is_answered(with_token: Site, path: str, given: str | None) -> None:
    refused = with_token.ask(path) if given is None else with_token.ask(path, Authorization=given)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "token" in refused.error
    assert TOKEN.encode() not in refused.body
    assert with_token.media.asked == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_token_any_host_name_is_answered(with_token: Site, scheme: str) -> None:
    assert with_token.ask("/healthz", Authorization=f"{scheme} {TOKEN}", Host="camera.example").status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1234", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:8080", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example:80", 400),
        ("0.0.0.0:80", 400),
        ("[", 400),
        ("", 400),
    ],
)
def test_without_a_token_dns_rebinding_is_refused(guarded: Site, host: str, status: int) -> None:
    assert guarded.ask("/healthz", Host=host).status == status


@pytest.mark.parametrize(
    ("site_of_page", "status"), [("none", 201), ("same-origin", 201), ("same-site", 403), ("cross-site", 403)]
)
def test_a_page_of_another_site_cannot_take_photos(on: Site, site_of_page: str, status: int) -> None:
    assert on.ask("/take_photo", Sec_Fetch_Site=site_of_page).status == status
    assert on.media.asked == (["photo"] if status == 201 else [])
    assert on.ask("/snapshot.jpg", Sec_Fetch_Site=site_of_page).status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost", 201), ("http://evil.example", 403), ("http://localhost:3000", 403), ("null", 403), ("", 403)],
)
def test_a_page_of_another_site_cannot_take_photos_in_an_older_browser(on: Site, origin: str, status: int) -> None:
    assert on.ask("/take_photo", "POST", Origin=origin, Host="localhost").status == status
    assert on.media.asked == (["photo"] if status == 201 else [])


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 5\r\n\r\nhello", b"Content-Length: 99999999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"],
)
def test_a_request_with_a_body_is_refused_unread(on: Site, body: bytes) -> None:
    answer = on.send(b"POST /take_photo HTTP/1.1\r\nHost: localhost\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'{"error":"a request has no body here' in answer
    assert on.media.asked == []


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    ],
)
def test_an_invalid_request_is_refused_and_the_connection_closed(on: Site, raw: bytes) -> None:
    assert on.send(raw).startswith(b"HTTP/1.1 400 ")
    assert on.ask("/healthz").status == 200
    assert on.complaints == []


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /events?before=" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4000 + b"\r\n",
    ],
)
def test_a_request_that_is_too_long_is_refused(on: Site, raw: bytes) -> None:
    assert re.match(rb"HTTP/1\.1 (400|431) ", on.send(raw))
    assert on.ask("/healthz").status == 200


def test_requests_follow_each_other_on_one_connection() -> None:
    with site() as on:
        connection = http.client.HTTPConnection("127.0.0.1", on.port, timeout=10)
        for _ in range(3):
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            assert Answer(response.status, {}, response.read()).status == 200
        local = connection.sock
        assert isinstance(local, socket.socket)
        connection.close()
