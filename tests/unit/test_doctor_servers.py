"""The doctor's checks of servers: Grafana's answers, and the write path over TLS."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sensetig import bundle
from sensetig.doctor import dashboards, network
from sensetig.doctor.examine import examine
from sensetig.doctor.findings import UNCHECKED, Finding, hand, run
from sensetig.doctor.patient import Patient, Ran
from sensetig.policy import ACT, GOOD, LOOK
from sensetig.site import Site
from tests.unit.doctor_support import answers, finding, findings, healthy, one, unhurried, write

Answers = dict[str, tuple[int, object]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is late here."""
    unhurried(monkeypatch)


@contextmanager
def serving(answers: Answers, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[tuple[str, str, int]]]]:
    """A server on loopback: its port, and the method, path and length of each request.

    Args:
        answers: the start of a path -> status, and a document for JSON or a text; the longest start counts.
        tls: for https.
    """
    asked: list[tuple[str, str, int]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            asked.append((self.command, self.path, length))
            matching = [start for start in answers if self.path.startswith(start)]
            status, document = answers[max(matching, key=len)] if matching else (404, "")
            content = document.encode() if isinstance(document, str) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content) if status != 204 else 0))
            self.end_headers()
            if status != 204:
                self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- Grafana --------------------------------------------------------------------------------------------

RULES = bundle.root() / "grafana/provisioning/alerting/rules.yaml"


def grafana() -> Answers:
    """A Grafana on which all is well."""
    boards = dashboards.bundled(bundle.root() / "grafana/dashboards")
    return {
        "/api/health": (200, {"database": "ok", "version": "12.4.1"}),
        "/api/user": (200, {"login": "admin"}),
        "/api/search": (200, [{"uid": uid} for uid in boards]),
        "/api/datasources": (200, [{"uid": "sensetig-influxql", "name": "SenseTIG", "type": "influxdb"}]),
        "/api/datasources/uid/": (200, {"status": "OK", "message": "1 measurement found"}),
        "/api/v1/provisioning/alert-rules": (200, [{"uid": uid} for uid in dashboards.rule_uids(RULES)]),
        "/api/alertmanager/grafana/config/api/v1/receivers": (
            200,
            [{"name": "all", "integrations": [{"name": "ntfy"}]}],
        ),
    }


@contextmanager
def hub(top: Path, answers: Answers) -> Iterator[Patient]:
    """A machine with such a Grafana, and a notification channel."""
    patient = healthy(top)
    write(
        top, {"password": "secret", "etc/sensetig/grafana.env": 'SENSETIG_ALERTS_NTFY_URL="https://ntfy.example/pi"\n'}
    )
    (top / "password").chmod(0o600)
    with serving(answers) as (port, _):
        yield patient._replace(
            site=Site(grafana_url=f"http://127.0.0.1:{port}", grafana_password_file=top / "password")
        )


def test_a_grafana_on_which_all_is_well_is_fine(tmp_path: Path) -> None:
    with hub(tmp_path, grafana()) as patient:
        for check in (dashboards.GRAFANA, dashboards.DASHBOARDS, dashboards.ALERTS):
            assert finding(check, patient).level == GOOD, check.name
        assert f"{len(dashboards.rule_uids(RULES))} rules send to ntfy" in finding(dashboards.ALERTS, patient).text


def test_every_alert_rule_of_the_bundle_is_found_by_its_line() -> None:
    import yaml

    document = yaml.safe_load(RULES.read_text())
    assert dashboards.rule_uids(RULES) == {rule["uid"] for group in document["groups"] for rule in group["rules"]}


@pytest.mark.parametrize(
    ("path", "status", "document", "words"),
    [
        ("/api/health", 200, {"database": "failing"}, "database failing"),
        ("/api/health", 503, {"database": "ok"}, "status 503"),
        ("/api/health", 200, {"database": "ok", "version": "9.0.0"}, "version 9.0.0"),
    ],
)
def test_a_grafana_that_is_not_well_is_found(
    tmp_path: Path, path: str, status: int, document: object, words: str
) -> None:
    with hub(tmp_path, {**grafana(), path: (status, document)}) as patient:
        found = finding(dashboards.GRAFANA, patient)
        assert (found.level, words in found.text) == (ACT, True)


def test_a_grafana_that_does_not_answer_keeps_its_parts_unchecked(tmp_path: Path) -> None:
    with hub(tmp_path, grafana()) as patient:
        pass  # the server has ended
    checks = [each._replace(needs=each.needs[-1:]) for each in (dashboards.DASHBOARDS, dashboards.ALERTS)]
    first, *after = examine([dashboards.GRAFANA._replace(needs=()), *checks], patient)
    assert first.findings[0].cure == run("systemctl", "restart", "grafana-server.service")
    assert [each.findings for each in after] == [(Finding(UNCHECKED, "not checked: Grafana comes first"),)] * 2


def test_missing_dashboards_and_unreadable_data_sources_are_found(tmp_path: Path) -> None:
    broken = grafana()
    broken["/api/search"] = (200, [{"uid": "own"}])
    broken["/api/datasources/uid/"] = (400, {"status": "ERROR", "message": "unauthorized access"})
    with hub(tmp_path, broken) as patient:
        found = findings(dashboards.DASHBOARDS, patient)
    assert [each.level for each in found] == [ACT, ACT]
    assert "Fleet" in found[0].text
    assert "unauthorized access" in found[1].text


def test_a_wrong_password_of_grafana_is_found(tmp_path: Path) -> None:
    with hub(tmp_path, {**grafana(), "/api/user": (401, {"message": "no"})}) as patient:
        found = finding(dashboards.DASHBOARDS, patient)
    assert (found.level, "does not accept the password of admin" in found.text) == (ACT, True)


def test_missing_rules_failing_channels_and_no_channel_are_found(tmp_path: Path) -> None:
    broken = grafana()
    broken["/api/v1/provisioning/alert-rules"] = (200, [])
    integration = {"name": "ntfy", "lastNotifyAttemptError": "dial tcp: no such host"}
    broken["/api/alertmanager/grafana/config/api/v1/receivers"] = (
        200,
        [{"name": "all", "integrations": [integration]}],
    )
    with hub(tmp_path, broken) as patient:
        texts = [each.text for each in findings(dashboards.ALERTS, patient)]
        assert "alert rules" in texts[0]
        assert texts[1] == "the channel ntfy could not send: dial tcp: no such host"
    with hub(tmp_path, grafana()) as patient:
        (tmp_path / "etc/sensetig/grafana.env").write_text("SENSETIG_ORGANISATION=sensetig\n")
        found = finding(dashboards.ALERTS, patient)
        assert (found.level, "grafana_alerts" in (found.cure or hand("")).shown) == (LOOK, True)


def test_a_machine_without_grafana_has_no_lines_about_it(tmp_path: Path) -> None:
    patient = healthy(tmp_path)
    assert [one(each, patient) for each in (dashboards.GRAFANA, dashboards.DASHBOARDS, dashboards.ALERTS)] == [None] * 3


# --- the write path of an edge --------------------------------------------------------------------------


class Authority:
    """An authority that makes certificates for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        self.file = self._write("authority.crt", self._made(self._name, self._key, 365))

    def _made(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: float) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
            .add_extension(x509.BasicConstraints(name == self._name, None), True)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def certificate(self, name: str, days: float) -> tuple[Path, Path]:
        """Files with a certificate that ends in this number of days, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        path = self._write(f"{name}.crt", self._made(subject, key, days))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.with_suffix(".key").write_bytes(pem)
        return path, path.with_suffix(".key")

    def context(self, days: float) -> ssl.SSLContext:
        """For a server that shows a certificate, and demands one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate("hub", days))
        context.load_verify_locations(self.file)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of a hub; the edge's certificate is in its place."""
    made = Authority(tmp_path / "etc/sensetig/tls")
    made.certificate("device", 300)
    return made


@pytest.fixture
def edge(tmp_path: Path, authority: Authority) -> Callable[[int], Patient]:
    """An edge of a hub on this port, with its token as an encrypted credential."""
    patient = healthy(tmp_path)
    write(tmp_path, {"etc/sensetig/credentials/telegraf_token": "encrypted"})
    decrypted = answers(patient, {"systemd-creds decrypt --name=telegraf_token": Ran(0, "the-token\n")})

    def at(port: int) -> Patient:
        site = Site(influxdb_url=f"https://127.0.0.1:{port}", hub="hub.local", ca_file=authority.file)
        return decrypted._replace(site=site, now=lambda: datetime.now(UTC).timestamp())

    return at


@pytest.mark.parametrize(
    ("status", "document", "level", "words"),
    [
        (204, "", GOOD, "accepts Telegraf's token"),
        (401, {"code": "unauthorized"}, ACT, "refuses this machine"),
        (403, "<html>403</html>", ACT, "refuses this machine"),
        (404, {"code": "not found", "message": 'bucket "raw" not found'}, ACT, "bucket raw is missing"),
        (404, "<html>404</html>", ACT, "is not InfluxDB 2"),
        (500, {"message": "unexpected error"}, ACT, "status 500"),
    ],
)
def test_the_write_path_of_an_edge_is_tried_without_a_point(
    edge: Callable[[int], Patient], authority: Authority, status: int, document: object, level: str, words: str
) -> None:
    with serving({"/api/v2/write": (status, document)}, authority.context(300)) as (port, asked):
        found = finding(network.WRITE_PATH, edge(port))
    assert (found.level, words in found.text) == (level, True), found
    assert asked == [("POST", "/api/v2/write?org=sensetig&bucket=raw&precision=ns", 0)]
    assert "the-token" not in repr(found)


def test_a_hub_whose_certificate_is_not_trusted_or_ends_is_found(
    edge: Callable[[int], Patient], authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    with serving({}, other.context(300)) as (port, _):
        assert "not trusted" in finding(network.WRITE_PATH, edge(port)).text
        assert "not trusted" in finding(network.CERTIFICATES, edge(port)).text
    with serving({}, authority.context(5)) as (port, _):
        dated = answers(edge(port), {"openssl x509": Ran(0, "notAfter=Jan  1 00:00:00 2099 GMT\n")})
        (found,) = findings(network.CERTIFICATES, dated)
        assert (found.level, "that 127.0.0.1 shows ends in 5 days" in found.text) == (ACT, True)
    with serving({}, authority.context(200)) as (port, _):
        soon = answers(edge(port), {"openssl x509": Ran(0, "notAfter=Jan  1 00:00:00 2020 GMT\n")})
        (found,) = findings(network.CERTIFICATES, soon)
        assert "of this machine ended" in found.text


def test_a_hub_that_is_away_is_found(edge: Callable[[int], Patient]) -> None:
    from sensetig.demo.testbed import ports

    found = finding(network.WRITE_PATH, edge(ports.any_free()))
    assert (found.level, "does not answer" in found.text) == (ACT, True)
    assert "ping 127.0.0.1" in (found.cure or hand("")).shown


def test_a_token_that_only_root_can_decrypt_is_not_checked(edge: Callable[[int], Patient]) -> None:
    found = finding(network.WRITE_PATH, answers(edge(9), {"systemd-creds decrypt": Ran(1)}))
    assert (found.level, "sudo sensetig doctor" in found.text) == (UNCHECKED, True)
