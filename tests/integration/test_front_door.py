"""The hub's reverse proxy as the playbook configures it: nginx before a real InfluxDB, with certificates and a list of
revoked ones."""

from __future__ import annotations

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
from datetime import UTC, datetime, timedelta
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

TEMPLATE = bundle.root() / "ansible" / "roles" / "proxy" / "templates" / "sensetig.conf.j2"

_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
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
        """A client that trusts the authority, with a certificate of its own or without."""
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
    """In Grafana's place: answers with what it was asked."""

    def do_GET(self) -> None:
        body = f"page {self.path} from {self.headers['X-Forwarded-For']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def door(influxdb: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("hub")
    certificates.revoke(authority.folder, [Path(authority.issue("nobody")[0])], datetime.now(UTC))
    page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    port, enrolment_port = ports.any_free(), ports.any_free()
    # nginx's workers do not get through a folder of the test's own.
    public = Path(tempfile.mkdtemp())
    public.chmod(0o755)
    asked = public / "socket"
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(TEMPLATE.read_text())  # noqa: S701 - no HTML
    (folder / "sensetig.conf").write_text(
        template.render(
            ansible_managed="", proxy_address="127.0.0.1", proxy_port=port, proxy_certificate=certificate,
            proxy_key=key, proxy_authority=authority.folder / "authority.crt",
            proxy_revoked=authority.folder / "revoked.crl", proxy_influxdb_port=influxdb.url.rpartition(":")[2],
            proxy_grafana_port=page.server_port, proxy_enrolment_port=enrolment_port,
            proxy_enrolment_address="127.0.0.1", proxy_enrolment_certificate=certificate, proxy_enrolment_key=key,
            proxy_enrolment_socket=asked,
        )
    )  # fmt: skip
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
    serve = [sys.executable, "-m", "sensetig", "enrol", "serve", "--socket", str(asked)]
    with (
        (folder / "enrolment.log").open("wb") as log,
        subprocess.Popen(serve, stdout=log) as service,
        subprocess.Popen([nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf")]) as process,
    ):
        try:
            made = Door(port, enrolment_port, authority, process)
            _answers(made)
            yield made
        finally:
            process.terminate()
            service.terminate()
            shutil.rmtree(public)
            page.shutdown()
            page.server_close()


@retry(stop=stop_after_delay(120), wait=wait_fixed(0.1), reraise=True)
def _answers(door: Door) -> None:
    socket.create_connection(("127.0.0.1", door.port), 30).close()
    assert enrol(door).status != 502, "the enrolment service does not answer yet"


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
    assert write(door, influxdb.write_token, hall, f"door value=1 {time.time_ns()}") == 204
    assert write(door, "wrong", hall, f"door value=1 {time.time_ns()}") == 401


def test_a_token_without_its_certificate_is_useless(door: Door, influxdb: InfluxDB) -> None:
    assert write(door, influxdb.write_token, None, "door value=1") == 403


def test_a_certificate_of_another_authority_is_refused_without_a_status_that_drops_points(
    door: Door, influxdb: InfluxDB, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other").issue("hall")
    assert write(door, influxdb.write_token, other, "door value=1") == 403


def test_revoking_works_at_once(door: Door, influxdb: InfluxDB) -> None:
    stolen, kept = door.authority.issue("stolen"), door.authority.issue("kept")
    assert write(door, influxdb.write_token, stolen, f"door value=1 {time.time_ns()}") == 204
    assert certificates.revoke(door.authority.folder, [Path(stolen[0])], datetime.now(UTC))
    door.reload()

    @retry(stop=stop_after_delay(120), wait=wait_fixed(0.2), reraise=True)
    def refused() -> None:
        assert write(door, influxdb.write_token, stolen, "door value=1") == 403

    refused()
    assert write(door, influxdb.write_token, kept, f"door value=1 {time.time_ns()}") == 204


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
