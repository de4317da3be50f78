"""The folder of reports, the mail and the forms: what goes wrong with each is one sentence."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from sensetig.demo.testbed import ports
from sensetig.errors import ReportError
from sensetig.report import export, store
from sensetig.report.devices import quoted
from sensetig.report.mail import SmtpConfig, check, message, send

# --- mail -------------------------------------------------------------------------------------------


class Inbox:
    """The mails that a mail server has accepted."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.users: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        del server, session
        self.mails.append(envelope.content)
        return "250 taken"

    def __call__(self, server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        del server, session, envelope, mechanism
        self.users.append(data.login)
        return AuthResult(success=data.password == b"right", handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[tuple[Inbox, int]]:
    """A real mail server on this machine that wants STARTTLS and a password."""
    inbox = Inbox()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    controller = Controller(
        inbox,
        hostname="127.0.0.1",
        port=ports.any_free(),
        tls_context=context,
        require_starttls=True,
        authenticator=inbox,
        auth_required=True,
        ready_timeout=60.0,  # seconds that a busy machine may need to start it
    )
    controller.start()
    yield inbox, controller.port
    controller.stop()


def post(port: int, certificate: Path | str, **changed: Any) -> SmtpConfig:
    given = SmtpConfig(
        "127.0.0.1", port, "starttls", "pi", "right", "pi@example.org", ("you@example.org",), str(certificate)
    )
    return given._replace(**changed)


def mail(settings: SmtpConfig, folder: Path) -> Any:
    report = folder / "pi.html"
    report.write_text("<h1>pi</h1>", encoding="utf-8")
    return message(settings, report, "SenseTIG report pi", "The report is attached.\n")


def test_a_report_is_sent_signed_in_and_over_verified_tls(
    server: tuple[Inbox, int], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    inbox, port = server
    settings = post(port, certificate[0])
    assert send(settings, mail(settings, tmp_path)) == ()
    (taken,) = inbox.mails
    arrived = message_from_bytes(taken)
    assert arrived["To"] == "you@example.org"
    (attached,) = [part for part in arrived.walk() if part.get_filename()]
    assert attached.get_filename() == "pi.html"
    assert attached.get_payload(decode=True) == b"<h1>pi</h1>"
    assert inbox.users == [b"pi"]


def test_a_mail_has_its_summary_as_text_and_as_html(tmp_path: Path) -> None:
    text = (
        "pi <b>, 2026-11-14 00:00 to 2026-11-21 00:00 (UTC)\n1 thing to act on.\n\nTo act on\n- Disks: / is full.\n\n"
        "Data\n- The device did not restart.\n\nThe report is attached.\n"
    )
    report = tmp_path / "pi.html"
    report.write_text("<h1>pi</h1>", encoding="utf-8")
    made = message(post(25, ""), report, "pi", text)
    told, shown = (made.get_body((kind,)) for kind in ("plain", "html"))
    assert told is not None
    assert shown is not None
    assert told.get_content() == text
    page = shown.get_content()
    assert "<h1" in page
    assert "pi &lt;b&gt;" in page
    assert page.count("<li") == 2
    assert "2026-11-14 00:00 to 2026-11-21 00:00 (UTC)" in page
    assert "#c01f35" in page, "the colour of what needs action"
    assert not re.search(r"(?:src|href)=", page), "a mail loads nothing"
    assert [part.get_filename() for part in made.iter_attachments()] == ["pi.html"]


def test_an_untrusted_server_gets_neither_password_nor_report(server: tuple[Inbox, int], tmp_path: Path) -> None:
    inbox, port = server
    settings = post(port, "")
    with pytest.raises(ReportError, match=r"could not be trusted: .*; the report is kept, and is sent with the next"):
        send(settings, mail(settings, tmp_path))
    assert (inbox.mails, inbox.users) == ([], [])


def test_a_wrong_password_is_one_sentence_without_the_password(
    server: tuple[Inbox, int], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = post(server[1], certificate[0], password="wrong-secret")  # noqa: S106
    with pytest.raises(ReportError, match="did not let pi sign in") as raised:
        send(settings, mail(settings, tmp_path))
    assert "wrong-secret" not in str(raised.value)


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    settings = post(ports.any_free(), "")
    with pytest.raises(ReportError, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        send(settings, mail(settings, tmp_path))


def test_mail_in_the_clear_is_for_this_machine_alone() -> None:
    check(post(25, "", security="none"))
    with pytest.raises(ReportError, match="in the clear"):
        check(post(25, "", security="none", host="mail.example.org"))


@pytest.mark.parametrize("address", ["you", "", "a@b\r\nBcc: all@example.org", "a b@c"])
def test_an_invalid_address_is_rejected(address: str) -> None:
    with pytest.raises(ReportError, match="is no address"):
        check(post(25, "", to=(address,)))


# --- the folder -------------------------------------------------------------------------------------

MONDAY, SUNDAY = datetime(2026, 11, 16), datetime(2026, 11, 22)


def test_a_report_s_name_is_safe_whatever_the_device_is_called() -> None:
    times = "_20261116T0000_20261122T0000.pdf"
    assert store.name("pi-hall.example", MONDAY, SUNDAY, "pdf") == f"pi-hall.example{times}"
    assert re.fullmatch(rf"etc-pi-hall-[0-9a-f]{{8}}{times}", store.name("../etc/pi hall", MONDAY, SUNDAY, "pdf"))
    assert store.name("..", MONDAY, SUNDAY, "csv").startswith("device-")
    assert len(store.name("ä" * 300, MONDAY, SUNDAY, "pdf")) < 150
    assert store.name("pi/a", MONDAY, SUNDAY, "pdf") != store.name("pi-a", MONDAY, SUNDAY, "pdf")


def test_what_could_not_be_sent_is_sent_with_the_next_the_oldest_first(tmp_path: Path) -> None:
    there = store.ReportStore(tmp_path / "reports")
    for index, name in enumerate(("b", "a")):
        path = there.add(f"{name}_20261116T0000_20261122T0000.html", b"x", f"the text of {name}")
        os.utime(path.with_name(path.name + store.UNSENT), (index + 1, index + 1))
    waiting = there.unsent()
    assert [(each.report.name[0], each.text) for each in waiting] == [("b", "the text of b"), ("a", "the text of a")]
    there.sent(waiting[0])
    assert [each.report.name[0] for each in there.unsent()] == ["a"]


def test_a_mark_without_a_report_is_removed(tmp_path: Path) -> None:
    there = store.ReportStore(tmp_path)
    mark = tmp_path / f"gone_20261116T0000_20261122T0000.html{store.UNSENT}"
    mark.touch()
    assert there.unsent() == []
    assert not mark.exists()


def test_old_reports_are_removed_and_nothing_else_is(tmp_path: Path) -> None:
    there = store.ReportStore(tmp_path)
    (tmp_path / "holiday.html").write_text("mine", encoding="utf-8")
    for index in range(4):
        path = there.add(f"pi_2026111{index}T0000_2026112{index}T0000.html", b"x", "text" if index == 0 else None)
        os.utime(path, (index, index))
    removed, lost = there.tidy(2)
    assert sorted(path.name for path in removed) == [
        f"pi_2026111{index}T0000_2026112{index}T0000.html" for index in (0, 1)
    ]
    assert [path.name for path in lost] == ["pi_20261110T0000_20261120T0000.html"]
    assert sorted(path.name[:11] for path in tmp_path.iterdir()) == ["holiday.htm", "pi_20261112", "pi_20261113"]


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot be written: No such file or directory"):
        store.write(tmp_path / "none" / "report.html", b"x")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ReportError, match="cannot be made"):
        store.ReportStore(file)


# --- names ------------------------------------------------------------------------------------------


def test_a_device_s_name_ends_no_text_in_a_query() -> None:
    assert quoted("it's \\ here") == "'it\\'s \\\\ here'"


# --- forms ------------------------------------------------------------------------------------------


def test_without_a_chromium_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReportError, match="apt install chromium"):
        export.as_pdf("<html></html>")
