"""Each failure mode of InfluxDB has one sentence, for every kind of request."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sensetig.demo.testbed import ports
from sensetig.errors import (
    BucketMissing,
    CertificateNotTrusted,
    InfluxDBError,
    NotAnswering,
    NotInfluxDB,
    RequestRefused,
    SiteError,
    TokenRefused,
)
from sensetig.influxdb.client import Client


@contextmanager
def answering(status: int, body: str, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that gives one answer to everything; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{'https' if context else 'http'}://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself, with its key, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "localhost.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


def typed(client: Client) -> Any:
    """A query through influxdb-client."""
    return client.call("query the bucket 'raw'", client.api.query_api().query, "buckets()", org="sensetig")


WAYS: dict[str, Callable[[Client], Any]] = {
    "influxql": lambda client: client.query("SHOW DATABASES"),
    "flux": typed,
    "write": lambda client: client.write("raw", ["m v=1"]),
}


@pytest.fixture(params=WAYS)
def attempt(request: pytest.FixtureRequest) -> Callable[[Client], Any]:
    """A way to make a request."""
    return WAYS[request.param]


def failure(url: str, attempt: Callable[[Client], Any], **options: Any) -> InfluxDBError:
    with (
        Client(url, "secret-token", origin="the token in F", organisation="sensetig", **options) as client,
        pytest.raises(InfluxDBError) as caught,
    ):
        attempt(client)
    assert "secret-token" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (401, {"message": "unauthorized access"}, TokenRefused, "refuses the token in F: it may not "),
        (403, {"message": "forbidden"}, TokenRefused, "(status 403); use a token of this InfluxDB that may"),
        (404, {"message": 'bucket "raw" not found'}, BucketMissing, "the bucket 'raw' is not there, or the token in F"),
        (500, {"message": "disk  full"}, RequestRefused, ": disk full (status 500)"),
        (404, "<html>", NotInfluxDB, "is not InfluxDB 2 (status 404); name the right address with --url"),
        (
            400,
            "Client sent an HTTP request to an HTTPS server.\n",
            NotAnswering,
            "speaks TLS; name its https:// address",
        ),
    ],
)
def test_an_answer_with_an_error_is_one_sentence(
    status: int, body: Any, kind: type[InfluxDBError], sentence: str, attempt: Callable[[Client], Any]
) -> None:
    with answering(status, body if isinstance(body, str) else json.dumps(body)) as url:
        error = failure(url, attempt)
    assert type(error) is kind
    assert sentence in str(error)
    assert url in str(error)


def test_nothing_that_listens_is_one_sentence(attempt: Callable[[Client], Any]) -> None:
    url = f"http://127.0.0.1:{ports.any_free()}"
    error = failure(url, attempt)
    assert type(error) is NotAnswering
    assert str(error) == (
        f"InfluxDB at {url} does not answer (connection refused); start it, or name its address with --url"
    )


def test_a_server_that_accepts_and_is_silent_is_one_sentence(attempt: Callable[[Client], Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure(f"http://127.0.0.1:{silent.getsockname()[1]}", attempt, timeout_seconds=0.2)
    assert "does not answer (no answer in time)" in str(error)


def test_a_name_that_nothing_has_is_one_sentence(attempt: Callable[[Client], Any]) -> None:
    error = failure("http://no-such-host.invalid:8086", attempt)
    assert "does not answer (its name cannot be resolved)" in str(error)


def test_one_that_speaks_no_tls_is_one_sentence(attempt: Callable[[Client], Any]) -> None:
    with answering(200, "{}") as url:
        error = failure(url.replace("http", "https"), attempt)
    assert "does not speak TLS; name its http:// address with --url" in str(error)


def test_a_certificate_is_trusted_only_with_its_authority(tmp_path: Path, attempt: Callable[[Client], Any]) -> None:
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with answering(500, "{}", context) as url:
        assert type(failure(url, attempt)) is CertificateNotTrusted
        assert type(failure(url, attempt, ca_file=file)) is RequestRefused


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=f"the certificates in {tmp_path / 'none'} cannot be read: No such file"):
        Client("https://localhost", ca_file=tmp_path / "none")


def test_a_server_that_starts_is_waited_for_and_said_so(attempt: Callable[[Client], Any]) -> None:
    waited: list[str] = []
    url = f"http://127.0.0.1:{ports.any_free()}"
    error = failure(url, attempt, wait_seconds=0.3, waiting=lambda: waited.append(url))
    assert "does not answer within 0.3 s (connection refused)" in str(error)
    assert waited
