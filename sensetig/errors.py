"""What stops a command: each error is one sentence for the operator, and ``sensetig`` prints it without a traceback."""

from __future__ import annotations


class OperatorError(Exception):
    """A command failed. ``str()`` gives the problem, its place and the remedy in one sentence, without any secret."""


class SiteError(OperatorError):
    """An address, a file or a secret of this installation cannot be used."""


class SetupError(OperatorError):
    """InfluxDB or Grafana cannot be set up."""


class ReportError(OperatorError):
    """A report cannot be made or sent."""


class BackupError(OperatorError):
    """A backup cannot be made or restored."""


class OutboxError(OperatorError):
    """The outbox cannot work."""


class SecurityError(OperatorError):
    """A certificate, an enrolment or a credential cannot be made or revoked."""


class InfluxDBError(OperatorError):
    """InfluxDB rejected a request or failed to handle it.

    Args:
        sentence: the message.
        status: the HTTP status of its answer, or None if there is no answer.
    """

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class NotAnswering(InfluxDBError):
    """Nothing answers at the address."""


class CertificateNotTrusted(InfluxDBError):
    """No authority that this machine trusts has signed the certificate, or it is another name's."""


class TokenRefused(InfluxDBError):
    """The token is not valid there, or lacks the permission."""


class BucketMissing(InfluxDBError):
    """There is no such bucket, or none that the token may see."""


class NotInfluxDB(InfluxDBError):
    """Another server answers at the address."""


class RequestRefused(InfluxDBError):
    """InfluxDB answers with another error status."""
