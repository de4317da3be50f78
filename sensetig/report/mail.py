"""Reports by mail: always over a verified TLS connection, unless the server is on this machine."""

from __future__ import annotations

import mimetypes
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import NamedTuple

from collectors.core.tls import client_context
from sensetig.errors import ReportError
from sensetig.policy import ACT, GOOD, LOOK
from sensetig.report.narrative import URGENT
from sensetig.report.templates import template
from sensetig.report.text import MAX_NAME, printable

_TIMEOUT_SECONDS = 60

#: The colour of a verdict, suitable for light and dark backgrounds.
_COLOURS = {ACT: "#c01f35", LOOK: "#d9730d", GOOD: "#12946c"}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class SmtpConfig(NamedTuple):
    """The configuration for sending mail.

    Args:
        security: ``starttls``, ``tls`` from the first byte, or ``none``, which is permitted only for this machine.
        user, password: credentials; an empty user does not sign in.
        ca_file: certificates that verify the server, instead of those of the system and of this installation.
    """

    host: str
    port: int
    security: str
    user: str
    password: str
    sender: str
    to: tuple[str, ...]
    ca_file: str = ""


def check(config: SmtpConfig) -> None:
    """Raise ReportError for invalid or unsafe settings."""
    if config.security == "none" and config.host not in _LOOPBACK:
        raise ReportError(f"mail to {config.host} would cross the network in the clear: take --smtp-security starttls")
    for address in (config.sender, *config.to):
        if "@" not in address.strip("@") or any(character in address for character in "\r\n \t"):
            raise ReportError(f"{address!r} is no address for mail; expected one such as pi@example.org")
    if config.user and not config.password:
        raise ReportError("--smtp-user wants --smtp-password-file")
    if not config.password.isascii():
        raise ReportError("the password in --smtp-password-file is not ASCII, as SMTP needs it; choose another")


def message(config: SmtpConfig, report: Path, subject: str, text: str) -> EmailMessage:
    """The mail: the summary as text and as HTML, and the report attached. Raises ReportError.

    Args:
        text: as ``narrative.as_text`` writes it, with further paragraphs at the end.
    """
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = config.sender, ", ".join(config.to), printable(subject, MAX_NAME)
    mail["Date"] = formatdate(localtime=True)
    mail["Message-ID"] = make_msgid(domain=config.sender.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    mail.add_alternative(as_html(text), subtype="html")
    kind, _, subtype = (mimetypes.guess_type(report.name)[0] or "application/octet-stream").partition("/")
    try:
        content = report.read_bytes()
    except OSError as error:
        raise ReportError(f"the report {report} cannot be read: {error.strerror}") from None
    mail.add_attachment(content, maintype=kind, subtype=subtype, filename=report.name)
    return mail


def as_html(text: str) -> str:
    """The text of a mail as HTML, for narrow and wide screens, without external pictures and style sheets."""
    head, *blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    device, comma, span = head[0].rpartition(", ")
    if not comma:
        device, span = span, ""
    sections: list[tuple[str, list[str]]] = []
    closing: list[str] = []
    for lines in blocks:
        items = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
        if items:
            sections.append((" ".join(line for line in lines if not line.startswith("- ")), items))
        else:
            closing.append(" ".join(lines))
    titles = {title for title, _ in sections}
    level = next((level for title, level in URGENT.items() if title in titles), GOOD)
    return template("mail.html.j2").render(
        title=f"SenseTIG report of {device}",
        device=device,
        span=span,
        verdict=" ".join(head[1:]),
        colour=_COLOURS[level],
        sections=sections,
        closing=closing,
    )


def send(config: SmtpConfig, mail: EmailMessage) -> tuple[str, ...]:
    """Send a mail; return the recipients that the server rejected while it accepted others. Raises ReportError."""
    where = f"{config.host}:{config.port}"
    try:
        context = client_context(config.ca_file or None)
        with _connect(config, context) as server:
            if config.security == "starttls":
                server.starttls(context=context)
            if config.user:
                server.login(config.user, config.password)
            refused = server.send_message(mail)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "TLS failed"
        failure = f"the mail server {where} could not be trusted: {reason}; see --smtp-ca-file and --smtp-security"
    except smtplib.SMTPNotSupportedError as error:
        failure = f"the mail server {where} lacks a feature that is needed: {' '.join(str(error).split())}"
    except smtplib.SMTPAuthenticationError as error:
        failure = f"the mail server {where} did not let {config.user} sign in (code {error.smtp_code})"
    except smtplib.SMTPRecipientsRefused as error:
        failure = f"the mail server {where} refused the recipients {', '.join(error.recipients)}"
    except smtplib.SMTPResponseException as error:
        failure = f"the mail server {where} refused the mail (code {error.smtp_code})"
    except smtplib.SMTPException as error:
        failure = f"the mail server {where} broke off: {' '.join(str(error).split())}"
    except (OSError, socket.gaierror) as error:
        failure = f"the mail server {where} cannot be reached: {error.strerror or error}"
    else:
        return tuple(refused)
    raise ReportError(f"{failure}; the report is kept, and is sent with the next")


def _connect(config: SmtpConfig, context: ssl.SSLContext) -> smtplib.SMTP:
    if config.security == "tls":
        return smtplib.SMTP_SSL(config.host, config.port, timeout=_TIMEOUT_SECONDS, context=context)
    return smtplib.SMTP(config.host, config.port, timeout=_TIMEOUT_SECONDS)
