"""The installation: addresses, names and files, each from the first source that has it.

1. the option of the command,
2. the environment variable, which is the same for every command,
3. ``/etc/sensetig``: ``site.toml``, which the playbook writes on each machine (names and paths, no secrets),
4. the user's state folder, where ``sensetig setup`` keeps tokens without root.

Options and variables are resolved by :mod:`sensetig.options`; this module reads the other sources, validates addresses
and reads secrets.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from collectors.core import files
from collectors.core.tls import trust_installation
from sensetig.errors import SiteError

if TYPE_CHECKING:
    from ssl import SSLContext

#: The folder that holds ``etc``.
TOP = Path("/")

#: The settings folder of an installed machine, and the file in it that this module reads.
ETC, FILE = "etc/sensetig", "site.toml"

#: The state of services whose user has no home.
SHARED_STATE = Path("/var/lib/sensetig")

OPERATOR_TOKEN, WRITE_TOKEN, READ_TOKEN = "operator.token", "telegraf.token", "grafana.token"


class Site(NamedTuple):
    """An installation.

    Args:
        tokens: folder with ``operator.token``, ``telegraf.token`` and ``grafana.token``.
        ca_file: certificates to trust in addition to the system's, or None.
        grafana_password_file: file with the password of ``grafana_admin``, or None.
        live_tokens: folder with the token for live points.
        documentation_url: the address of the documentation site; empty if there is none.
        hub: the machine that has the tokens, if it is another one; or empty.
        role: ``hub`` for a machine that is installed to take in others; or empty.
    """

    influxdb_url: str = "http://127.0.0.1:8086"
    organisation: str = "sensetig"
    bucket: str = "raw"
    tokens: Path = Path("tokens")
    ca_file: Path | None = None
    grafana_url: str = "http://127.0.0.1:3000"
    grafana_admin: str = "admin"
    grafana_password_file: Path | None = None
    live_tokens: Path = Path("live")
    documentation_url: str = ""
    hub: str = ""
    role: str = ""

    @property
    def read_token_file(self) -> Path:
        """The file of the token with read permission for every bucket."""
        return self.tokens / READ_TOKEN


_PATHS = ("tokens", "ca_file", "grafana_password_file", "live_tokens")


def load(top: Path | None = None, state: Path | None = None) -> Site:
    """Load the description of this installation.

    Args:
        top: the folder that holds ``etc``; None is :data:`TOP`.
        state: the user's state folder; None is the platform's own.

    Raises:
        SiteError: ``site.toml`` is damaged.
    """
    if state is None:
        import platformdirs

        try:
            state = platformdirs.user_state_path("sensetig")
        except RuntimeError:  # a service whose user has no home
            state = SHARED_STATE
    folder = (TOP if top is None else top) / ETC
    site = Site(tokens=state / "tokens", live_tokens=state / "live")
    url = _text(folder / "influxdb-url")
    if url is not None:
        # A hub installed by an older playbook: the other paths are the playbook's original ones.
        site = site._replace(
            influxdb_url=url.strip(),
            tokens=folder / "tokens",
            live_tokens=folder / "live",
            grafana_password_file=folder / "tokens" / "grafana-admin.password",
        )
    text = _text(folder / FILE)
    return site if text is None else _described(site, text, folder / FILE)


def _described(site: Site, text: str, path: Path) -> Site:
    """The site with the values of a ``site.toml``; keys of newer versions are ignored. Raises SiteError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SiteError(f"{path} is not valid TOML ({error}); run the playbook again, which writes it") from None
    values: dict[str, Any] = {}
    for key in Site._fields:
        if key not in document:
            continue
        value = document[key]
        if not isinstance(value, str) or not value:
            raise SiteError(f"{path}: {key} is {value!r}; it must be a text such as {getattr(Site(), key) or '/…'!s}")
        values[key] = Path(value) if key in _PATHS else value
    return site._replace(**values)


def _text(path: Path) -> str | None:
    """The text of a file of the installation; None if there is none. Raises SiteError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise SiteError(f"{path} cannot be read: {error.strerror}; run this with sudo") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SiteError(f"{path} cannot be read: {reason}") from None


def checked_url(url: str, server: str, example: str) -> str:
    """Validate a server's address, and remove its trailing slash.

    Args:
        url: as given.
        server: its name for messages, such as ``InfluxDB``.
        example: a valid address.

    Raises:
        SiteError: it is not an http or https address, or contains a user or a password, which would be printed.
    """
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        valid = False
    if not valid:
        raise SiteError(f"{redacted(url)!r} is not the URL of {server}; expected one such as {example}")
    if parts.username is not None or parts.password is not None:
        raise SiteError(
            f"the URL of {server} has a user or a password in it, where others can see it: "
            f"give {redacted(url)}, and name a file of credentials with the option for it"
        )
    return url.strip().rstrip("/")


def redacted(url: str) -> str:
    """An address without the user and the password in it.

    >>> redacted("http://pi:secret@hub.example:8086/x")
    'http://hub.example:8086/x'
    """
    before, at, after = url.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return f"{scheme}{slashes}{after}" if at and slashes else after


def tls_context(ca_file: Path | None, identity: tuple[Path, Path] | None = None) -> SSLContext:
    """A TLS context that trusts the system's authorities, those of this installation, and those in a file.

    Args:
        ca_file: certificates of further authorities.
        identity: files with this machine's certificate and its key.

    Raises:
        SiteError: a file of certificates, or a key, cannot be read.
    """
    import ssl

    context = ssl.create_default_context()
    path: Path | str | None = ca_file
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file)
        path = None
        trust_installation(context)
    except OSError as error:  # including ssl.SSLError
        raise SiteError(
            f"the certificates in {path or error.filename} cannot be read: {error.strerror or error}"
        ) from None
    if identity is not None:
        try:
            context.load_cert_chain(*identity)
        except OSError as error:
            raise SiteError(
                f"the certificate {identity[0]} with the key {identity[1]} cannot be used: {error.strerror or error}"
            ) from None
    return context


def read_token(path: Path, name: str = "the token file") -> str:
    """The token in a file that only its owner may read.

    Args:
        path: the file.
        name: its description for messages.

    Raises:
        SiteError: the file cannot be read, others may read it, or it holds no token.
    """
    _check_readable(path, name)
    return files.read_token(path, name, error=SiteError)


def read_password(path: Path, name: str = "the password file") -> str:
    """The first line of a file that only its owner may read. Raises SiteError."""
    _check_readable(path, name)
    return files.read_password(path, name, error=SiteError)


def _check_readable(path: Path, name: str) -> None:
    """Raise SiteError with a remedy if the cause is this user or this machine."""
    try:
        with path.open("rb"):
            return
    except PermissionError as error:
        cure = "; run this with sudo" if os.geteuid() else ""
        raise SiteError(f"{name} {path} cannot be read: {error.strerror}{cure}") from None
    except OSError as error:
        site = load()
        cure = f"; run this on the hub, {site.hub}" if site.hub and path.parent == site.tokens else ""
        raise SiteError(f"{name} {path} cannot be read: {error.strerror}{cure}") from None
