"""The hub's reverse proxy as the playbook configures it, with certificates and a list of revoked ones: nginx, the
receiver, and a real InfluxDB."""

from __future__ import annotations

import gzip
import http.server
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import NamedTuple

import jinja2
import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tenacity import retry, stop_after_delay, wait_fixed

from sensetig import bundle
from sensetig.demo.testbed import ports
from sensetig.engines import os_packages
from sensetig.security import certificates
from tests.integration.conftest import InfluxDB
from tests.unit.camera_control_support import ScriptedMedia
from tests.unit.camera_control_support import site as camera_site

TEMPLATE = bundle.root() / "ansible" / "roles" / "proxy" / "templates" / "sensetig.conf.j2"

_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_buffer_size 1m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/sensetig.conf;
}}
"""


def nginx() -> str:
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if found is None:
        try:
            os_packages.ensure(["nginx-light"], lambda sentence: print(sentence))
        except os_packages.PackagesMissing as missing:
            pytest.skip(f"no nginx on this machine: {missing}")
        found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert found is not None
    return found


def configure(folder: Path, **variables: object) -> None:
    """Write nginx's settings into a folder, with the role's template."""
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(TEMPLATE.read_text())  # noqa: S701 - no HTML
    loopback = {"proxy_address": "127.0.0.1", "proxy_enrolment_address": "127.0.0.1"}
    (folder / "sensetig.conf").write_text(template.render(ansible_managed="", **loopback, **variables))
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))


class Authority:
    """An authority with a folder as the hub's, and the certificates that it issues."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.certificate = self._sign("authority", self.key.public_key(), authority=True)
        (folder / "authority.key").write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (folder / "authority.crt").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[str, str]:
        """Files of certificate and key for a device."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key.public_key())
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(files[0]), str(files[1])

    def _sign(self, name: str, key: ec.EllipticCurvePublicKey, *, authority: bool = False) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if authority else self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .sign(self.key, hashes.SHA256())
        )


class Door(NamedTuple):
    """The running proxy."""

    port: int
    enrolment_port: int
    authority: Authority
    process: subprocess.Popen[bytes]

    def pool(self, certificate: tuple[str, str] | None = None) -> urllib3.PoolManager:
        """A client that trusts the authority, with or without a client certificate."""
        context = ssl.create_default_context(cafile=str(self.authority.folder / "authority.crt"))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return urllib3.PoolManager(ssl_context=context, retries=False, timeout=60)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def reload(self) -> None:
        """Let nginx read its files again."""
        self.process.send_signal(1)  # SIGHUP


class _Page(http.server.BaseHTTPRequestHandler):
    """A fake Grafana that echoes the request, and shows the dashboard Camera to one session only."""

    def do_GET(self) -> None:
        body = f"page {self.path} from {self.headers['X-Forwarded-For']}".encode()
        session = SimpleCookie(self.headers["Cookie"]).get("grafana_session")
        known = {"may": 200, "may-not": 403}.get("" if session is None else session.value, 401)
        self.send_response(known if self.path.startswith("/api/dashboards/uid/") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


#: The clips of the hub's two cameras, by the camera's name.
CLIPS = {
    "hall": "2026/11/21/20261121T080005.000000Z-hall.mp4",
    "yard": "2026/11/21/20261121T080105.000000Z-yard.mp4",
}


def _media(folder: Path, name: str) -> Path:
    """The folder of a camera's media, with a clip of ten bytes in it."""
    root = folder / name
    (root / CLIPS[name]).parent.mkdir(parents=True)
    (root / CLIPS[name]).write_bytes(name.encode().ljust(10, b"."))
    (root / "2026" / "secret.txt").write_bytes(b"secret")
    return root


@pytest.fixture(scope="module")
def door(influxdb: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("hub")
    certificates.revoke(authority.folder, [Path(authority.issue("nobody")[0])], datetime.now(UTC))
    page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    port, enrolment_port, receiver_port = ports.any_free(), ports.any_free(), ports.any_free()
    ended = ExitStack()
    cameras = [ended.enter_context(camera_site(ScriptedMedia(str(_media(folder, name))))) for name in CLIPS]
    # nginx's workers do not get through a folder of the test's own.
    public = Path(tempfile.mkdtemp())
    public.chmod(0o755)
    asked = public / "socket"
    configure(
        folder, proxy_port=port, proxy_certificate=certificate, proxy_key=key,
        proxy_authority=authority.folder / "authority.crt", proxy_revoked=authority.folder / "revoked.crl",
        proxy_receiver=f"http://127.0.0.1:{receiver_port}", proxy_grafana_port=page.server_port,
        proxy_camera_ports=[camera.port for camera in cameras], proxy_enrolment_port=enrolment_port,
        proxy_enrolment_certificate=certificate, proxy_enrolment_key=key, proxy_enrolment_socket=asked,
    )  # fmt: skip
    serve = [sys.executable, "-m", "sensetig", "enrol", "serve", "--socket", str(asked)]
    receive = [
        sys.executable, "-m", "sensetig", "outbox", "--receive", "--folder", str(public), "--gateway", "garden",
        "--listen", f"127.0.0.1:{receiver_port}", "--url", influxdb.url,
    ]  # fmt: skip
    with (
        ended,
        (folder / "enrolment.log").open("wb") as log,
        (folder / "receiver.log").open("wb") as receiver_log,
        subprocess.Popen(serve, stdout=log) as service,
        subprocess.Popen(receive, stderr=receiver_log) as receiver,
        subprocess.Popen([nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf")]) as process,
    ):
        try:
            made = Door(port, enrolment_port, authority, process)
            _answers(made)
            _receives(receiver_port)
            yield made
        finally:
            process.terminate()
            service.terminate()
            receiver.terminate()
            shutil.rmtree(public)
            page.shutdown()
            page.server_close()


@retry(stop=stop_after_delay(120), wait=wait_fixed(0.1), reraise=True)
def _answers(door: Door) -> None:
    socket.create_connection(("127.0.0.1", door.port), 30).close()
    assert enrol(door).status != 502, "the enrolment service does not answer yet"


@retry(stop=stop_after_delay(240), wait=wait_fixed(0.1), reraise=True)
def _receives(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 30).close()


def enrol(door: Door, body: bytes = b"{}") -> urllib3.BaseHTTPResponse:
    """The answer to a Pi that enrols."""
    return door.pool().request("POST", f"https://localhost:{door.enrolment_port}/enrol", body=body)


def write(door: Door, token: str, certificate: tuple[str, str] | None, line: str, **options: str) -> int:
    """The status of a write."""
    url = f"{door.url}/api/v2/write?org=sensetig&bucket=raw"
    answer = door.pool(certificate).request(
        options.get("method", "POST"), url, body=line.encode(), headers={"Authorization": f"Token {token}"}
    )
    return answer.status


def test_a_device_writes_with_its_certificate_and_token(door: Door, influxdb: InfluxDB) -> None:
    hall = door.authority.issue("hall")
    assert write(door, influxdb.write_token, hall, f"door,host=hall value=1 {time.time_ns()}") == 204
    assert write(door, "wrong", hall, f"door,host=hall value=1 {time.time_ns()}") == 401


@pytest.mark.parametrize(
    "line", ["door,host=cellar value=1", "door value=1", "door,host=hall value=1\ndoor,host=a v=1"]
)
def test_a_device_writes_only_points_with_its_name(door: Door, influxdb: InfluxDB, line: str) -> None:
    pool = door.pool(door.authority.issue("hall"))
    url = f"{door.url}/api/v2/write?org=sensetig&bucket=raw"
    headers = {"Authorization": f"Token {influxdb.write_token}", "X-SenseTIG-Device": "cellar"}
    for body, encoding in ((line.encode(), "identity"), (gzip.compress(line.encode()), "gzip")):
        answer = pool.request("POST", url, body=body, headers={**headers, "Content-Encoding": encoding})
        assert answer.status == 422, "as InfluxDB refuses points, so that the outbox finds them and keeps the others"
        assert answer.json()["code"] == "unprocessable entity"
        assert "and not of hall: a device writes its own points only" in answer.json()["message"]
    log = (door.authority.folder.parent / "receiver.log").read_text()
    assert "refused points of hall: line " in log


def test_points_are_not_hidden_in_a_second_part_of_the_body(door: Door, influxdb: InfluxDB) -> None:
    answer = door.pool(door.authority.issue("hall")).request(
        "POST",
        f"{door.url}/api/v2/write?org=sensetig&bucket=raw",
        body=gzip.compress(b"door,host=hall value=1\n") + gzip.compress(b"door,host=hidden value=1"),
        headers={"Authorization": f"Token {influxdb.write_token}", "Content-Encoding": "gzip"},
    )
    assert answer.status == 400
    assert "more than one gzip member" in answer.json()["message"]


def test_a_certificate_without_a_device_s_name_is_refused_without_a_status_that_drops_points(
    door: Door, influxdb: InfluxDB
) -> None:
    odd = door.authority.issue("hall, of the house")
    assert write(door, influxdb.write_token, odd, "door,host=hall value=1") == 403


def test_a_gateway_writes_points_of_others(door: Door, influxdb: InfluxDB) -> None:
    garden = door.authority.issue("garden")
    assert write(door, influxdb.write_token, garden, f"door,host=plug value=1 {time.time_ns()}") == 204


def test_a_token_without_its_certificate_is_useless(door: Door, influxdb: InfluxDB) -> None:
    assert write(door, influxdb.write_token, None, "door value=1") == 403


def test_a_certificate_of_another_authority_is_refused_without_a_status_that_drops_points(
    door: Door, influxdb: InfluxDB, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other").issue("hall")
    assert write(door, influxdb.write_token, other, "door value=1") == 403


def test_revoking_works_at_once(door: Door, influxdb: InfluxDB) -> None:
    stolen, kept = door.authority.issue("stolen"), door.authority.issue("kept")
    assert write(door, influxdb.write_token, stolen, f"door,host=stolen value=1 {time.time_ns()}") == 204
    assert certificates.revoke(door.authority.folder, [Path(stolen[0])], datetime.now(UTC))
    door.reload()

    @retry(stop=stop_after_delay(120), wait=wait_fixed(0.2), reraise=True)
    def refused() -> None:
        assert write(door, influxdb.write_token, stolen, "door,host=stolen value=1") == 403

    refused()
    assert write(door, influxdb.write_token, kept, f"door,host=kept value=1 {time.time_ns()}") == 204


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_the_write_path_takes_writes_alone(door: Door, influxdb: InfluxDB, method: str) -> None:
    hall = door.authority.issue("hall")
    assert write(door, influxdb.write_token, hall, "door value=1", method=method) == 403


@pytest.mark.parametrize(
    "path",
    ["/api/v2/delete?org=sensetig&bucket=raw", "/query?db=raw", "/metrics", "/api/v2/write/", "/api/v2/../v2/delete",
     "/api/v2/write/../delete", "//api/v2/delete", "/api/v2/buckets", "/write?db=raw", "/api/v2/query", "/debug/pprof"],
)  # fmt: skip
def test_nothing_else_of_influxdb_answers(door: Door, influxdb: InfluxDB, path: str) -> None:
    hall = door.authority.issue("hall")
    answer = door.pool(hall).request(
        "POST", door.url + path, headers={"Authorization": f"Token {influxdb.operator_token}"}
    )
    assert answer.data.startswith(b"page "), "it is Grafana's path"
    assert "X-Influxdb-Version" not in answer.headers


#: Routes of InfluxDB 2.9 that its own list of resources does not name.
ROUTES = (
    "/query", "/write", "/ping", "/health", "/ready", "/metrics", "/docs", "/debug/pprof/", "/debug/pprof/cmdline",
    "/debug/pprof/all", "/debug/vars", "/debug/flush", "/debug/provision", "/private/legacy/authorizations",
    "/api/v2", "/api/v2/", "/api/v2/authorizations/0d0a657820696e74", "/api/v2/backup/kv", "/api/v2/backup/metadata",
    "/api/v2/backup/shards/1", "/api/v2/buckets/0d0a657820696e74", "/api/v2/checks", "/api/v2/config", "/api/v2/dbrps",
    "/api/v2/delete", "/api/v2/documents/templates", "/api/v2/flags", "/api/v2/labels", "/api/v2/me/password",
    "/api/v2/orgs/0d0a657820696e74/secrets/delete", "/api/v2/packages/apply", "/api/v2/query/analyze",
    "/api/v2/query/ast", "/api/v2/query/suggestions", "/api/v2/remotes", "/api/v2/replications", "/api/v2/resources",
    "/api/v2/restore/bucket", "/api/v2/restore/kv", "/api/v2/restore/shards/1", "/api/v2/restore/sql",
    "/api/v2/scrapers", "/api/v2/stacks", "/api/v2/swagger.json", "/api/v2/tasks/0d0a657820696e74/runs",
    "/api/v2/telegraf/plugins", "/api/v2/templates/apply", "/api/v2/templates/export",
    "/api/v2/users/0d0a657820696e74/password", "/api/v2private/notebooks",
)  # fmt: skip


def routes(influxdb: InfluxDB) -> set[str]:
    """Every path that the running InfluxDB says it has, and :data:`ROUTES`."""

    def named(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            for each in node.values():
                yield from named(each)
        elif isinstance(node, str):
            yield node

    answer = urllib3.request("GET", f"{influxdb.url}/api/v2", headers={"Authorization": f"Token {influxdb.read_token}"})
    found = {path for path in named(answer.json()) if path.startswith("/")}
    assert {"/api/v2/query", "/api/v2/write", "/api/v2/buckets"} <= found
    return (found | set(ROUTES)) - {"/api/v2/write"}


def test_no_route_of_influxdb_answers_by_any_method(door: Door, influxdb: InfluxDB) -> None:
    pool = door.pool(door.authority.issue("hall"))
    headers = {"Authorization": f"Token {influxdb.operator_token}"}
    direct = urllib3.request("GET", f"{influxdb.url}/api/v2/buckets", headers=headers)
    assert "X-Influxdb-Version" in direct.headers, "its answers can be told by this header"
    for path in sorted(routes(influxdb)):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = pool.request(method, door.url + path, headers=headers)
            assert "X-Influxdb-Version" not in answer.headers, (method, path)
            # The server in Grafana's place answers; it knows three methods.
            assert answer.data.startswith(b"page ") or answer.status == 501, (method, path, answer.status)


def test_grafana_answers_without_a_certificate_and_learns_who_asks(door: Door) -> None:
    answer = door.pool().request("GET", f"{door.url}/d/device", headers={"X-Forwarded-For": "10.1.2.3"})
    assert answer.data == b"page /d/device from 127.0.0.1"
    assert "nginx/" not in answer.headers.get("Server", "")


def test_half_sent_requests_do_not_keep_others_from_enrolling(door: Door) -> None:
    context = ssl.create_default_context(cafile=str(door.authority.folder / "authority.crt"))
    held = []
    for _ in range(40):
        raw = socket.create_connection(("127.0.0.1", door.enrolment_port), 60)
        wrapped = context.wrap_socket(raw, server_hostname="localhost")
        wrapped.sendall(b"POST /enrol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{")
        held.append(wrapped)
    try:
        answer = enrol(door)
        assert (answer.status, answer.json()["message"]) == (400, "expected device, token and host_keys")
        held[0].settimeout(120)
        said = held[0].recv(4096)
        assert said == b"" or b" 408 " in said, "it is ended when its time is up"
    finally:
        for each in held:
            each.close()


def test_a_large_enrolment_is_refused(door: Door) -> None:
    assert enrol(door, b"x" * 20_000).status == 413


def spoken(door: Door, port: int, request: bytes, *, tls: bool = True) -> bytes:
    """The first line of the answer to a request as it is."""
    raw = socket.create_connection(("127.0.0.1", port), 120)
    if tls:
        context = ssl.create_default_context(cafile=str(door.authority.folder / "authority.crt"))
        raw = context.wrap_socket(raw, server_hostname="localhost")
    with raw:
        raw.sendall(request)
        return raw.makefile("rb").readline()


def test_an_enrolment_that_never_ends_or_claims_gigabytes_is_refused(door: Door) -> None:
    chunks = (
        b"POST /enrol HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    )
    assert b" 413 " in spoken(door, door.enrolment_port, chunks + 40 * (b"3e8\r\n" + b"x" * 1000 + b"\r\n"))
    claims = b"POST /enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\nx"
    assert b" 413 " in spoken(door, door.enrolment_port, claims)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_enrolment_takes_post_alone(door: Door, method: str) -> None:
    request = f"{method} /enrol HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    status = spoken(door, door.enrolment_port, request.encode()).split()[1]
    assert status in (b"403", b"405")


def test_neither_port_speaks_without_tls(door: Door) -> None:
    for port in (door.port, door.enrolment_port):
        request = b"POST /enrol HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert b" 400 " in spoken(door, port, request, tls=False)


def test_idle_connections_do_not_block_others(door: Door, influxdb: InfluxDB) -> None:
    held = [
        socket.create_connection(("127.0.0.1", port), 60)
        for port in (door.port, door.enrolment_port)
        for _ in range(100)
    ]
    try:
        hall = door.authority.issue("hall")
        assert write(door, influxdb.write_token, hall, f"door,host=hall value=1 {time.time_ns()}") == 204
        assert enrol(door).status == 400
    finally:
        for each in held:
            each.close()


def test_the_port_for_new_pis_shows_nothing_else(door: Door) -> None:
    base = f"https://localhost:{door.enrolment_port}"
    assert door.pool().request("GET", f"{base}/enrol").status == 403
    for path in ("/", "/api/v2/write", "/login"):
        assert door.pool().request("POST", base + path).status == 404
    assert door.pool().request("POST", f"{door.url}/enrol").data.startswith(b"page "), "it is Grafana's path"


def test_the_enrolment_service_learns_who_asks(door: Door) -> None:
    request = {"device": "attic", "token": "t" * 43, "host_keys": ["ssh-ed25519 " + "A" * 68]}
    answer = door.pool().request(
        "POST", f"https://localhost:{door.enrolment_port}/enrol", json=request, headers={"X-Forwarded-For": "10.1.2.3"}
    )
    assert answer.status == 403, "nobody has a ticket here"
    log = (door.authority.folder.parent / "enrolment.log").read_text()
    assert "refused, attic from 127.0.0.1" in log


def clip(door: Door, path: str, session: str = "may", method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
    """The answer to a browser that follows an event's link."""
    cookie = {"Cookie": f"grafana_session={session}"} if session else {}
    return door.pool().request(method, f"{door.url}/camera/{path}", headers={**cookie, **headers}, redirect=False)


@pytest.mark.parametrize("camera", CLIPS)
def test_a_clip_of_either_camera_is_shown_to_a_user_of_grafana(door: Door, camera: str) -> None:
    answer = clip(door, f"hub/{CLIPS[camera]}")
    assert (answer.status, answer.data) == (200, camera.encode().ljust(10, b"."))
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # As the link of the dashboard writes it.
    assert clip(door, f"hub/{CLIPS[camera].replace('/', '%2F')}").status == 200


def test_a_part_of_a_clip_is_answered_as_phones_ask_for_it(door: Door) -> None:
    first = clip(door, f"hub/{CLIPS['yard']}", Range="bytes=0-1")
    assert (first.status, first.data, first.headers["Content-Range"]) == (206, b"ya", "bytes 0-1/10")
    rest = clip(door, f"hub/{CLIPS['yard']}", Range="bytes=2-")
    assert (rest.status, rest.data) == (206, b"rd......")
    assert clip(door, f"hub/{CLIPS['hall']}", Range="bytes=10-").status == 416
    head = clip(door, f"hub/{CLIPS['hall']}", method="HEAD")
    assert (head.status, head.headers["Content-Length"], head.headers["Accept-Ranges"]) == (200, "10", "bytes")


def test_a_browser_without_a_session_is_asked_to_sign_in(door: Door) -> None:
    answer = clip(door, f"hub/{CLIPS['hall']}", "")
    assert answer.status == 401
    assert b"<a href='/login'>Sign in to Grafana</a>" in answer.data


def test_a_session_with_an_old_token_is_renewed(door: Door) -> None:
    answer = clip(door, f"hub/{CLIPS['hall']}", "old")
    assert answer.status == 302
    assert answer.headers["Location"] == f"/user/auth-tokens/rotate?redirectTo=/camera/hub/{CLIPS['hall']}"


def test_a_user_without_the_dashboard_sees_no_clip(door: Door) -> None:
    for path in (CLIPS["hall"], CLIPS["hall"].replace("hall", "gone")):
        answer = clip(door, f"hub/{path}", "may-not")
        assert answer.status == 403
        assert b"hall" not in answer.data


@pytest.mark.parametrize("session", ["", "may"])
@pytest.mark.parametrize(
    "path",
    [
        "hub/2026/secret.txt",
        "hub/2026/11/21/../../secret.txt",
        "hub/2026%2F11%2F21%2F..%2F..%2Fsecret.txt",
        "hub/2026/11/21/.20261121T080005.000000Z-hall.mp4",
        "hub/..%2F..%2Fhealthz",
        "hub/take_photo",
        "hub/2026/11/21/x%0d%0aSet-Cookie:a=b.mp4",
        "hub/2026/11/21/x%3Fy.mp4",
        "%3Cscript%3E/2026/11/21/x.mp4",
    ],
)
def test_any_other_path_is_left_to_grafana(door: Door, path: str, session: str) -> None:
    answer = clip(door, path, session)
    assert answer.data.startswith(b"page /"), (path, answer.status)
    assert b"secret" not in answer.data.replace(b"/secret.txt", b"").replace(b"Fsecret.txt", b"")
    assert "Set-Cookie" not in answer.headers


def test_a_clip_that_is_on_no_camera_of_the_hub_is_explained(door: Door) -> None:
    answer = clip(door, f"garden/{CLIPS['hall'].replace('hall', 'shed')}")
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"This machine has no such file" in answer.data


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_but_reading_is_possible(door: Door, method: str) -> None:
    assert clip(door, f"hub/{CLIPS['hall']}", method=method).status == 403


def test_access_is_not_asked_for_from_outside(door: Door) -> None:
    answer = door.pool().request("GET", f"{door.url}/camera-access", headers={"Cookie": "grafana_session=may"})
    assert answer.status == 404
