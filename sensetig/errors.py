"""The errors of commands: each is one sentence for the operator, which ``sensetig`` prints without a traceback."""

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
    """The outbox cannot run."""


class SecurityError(OperatorError):
    """A certificate, an enrolment or a credential cannot be created or revoked."""


class InfluxDBError(OperatorError):
    """InfluxDB rejected a request or failed to handle it.

    Args:
        sentence: the message.
        status: the HTTP status of the response, or None without one.
    """

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class NotAnswering(InfluxDBError):
    """No server responds at the address."""


class CertificateNotTrusted(InfluxDBError):
    """The certificate is not signed by an authority that this machine trusts, or has another name."""


class TokenRefused(InfluxDBError):
    """The token is invalid, or lacks the permission."""


class BucketMissing(InfluxDBError):
    """There is no such bucket, or the token cannot see it."""


class NotInfluxDB(InfluxDBError):
    """Another server responds at the address."""


class RequestRefused(InfluxDBError):
    """InfluxDB responds with another error status."""
