"""The calls that the live account needs from Grafana's HTTP API; every failure becomes a SetupError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, make_headers

from collectors.messaging.broker import is_loopback
from sensetig.errors import SetupError
from sensetig.site import checked_url, read_password, tls_context

#: Seconds allowed for one request.
TIMEOUT_SECONDS = 30.0

#: The role without permissions.
NO_ROLE = "None"


class Account(NamedTuple):
    """A service account as Grafana holds it."""

    id: int
    role: str
    disabled: bool


class StoredToken(NamedTuple):
    """A token of a service account as Grafana lists it, without the secret."""

    id: int
    name: str
    expired: bool
    revoked: bool


class Server:
    """A Grafana, accessed as its administrator.

    Args:
        url: its address; a path is kept, for a Grafana behind a proxy.
        user: an administrator's name.
        password: of that user; sent only in the header of requests.
        ca_file: certificates to trust in addition to the system's.

    Raises:
        SiteError: the URL is invalid, or contains a password.
        SetupError: it would send the password unencrypted to another machine.
    """

    def __init__(self, url: str, user: str, password: str, ca_file: Path | None = None) -> None:
        self.url = checked_url(url, "a Grafana", "http://127.0.0.1:3000")
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise SetupError(f"the password would go unencrypted to {parts.hostname}; give an https:// URL of Grafana")
        context = tls_context(ca_file) if parts.scheme == "https" else None
        self._pool = urllib3.PoolManager(retries=False, timeout=Timeout(TIMEOUT_SECONDS), ssl_context=context)
        self._headers = make_headers(basic_auth=f"{user}:{password}")
        self._user = user

    @classmethod
    def with_password_file(cls, url: str, user: str, path: Path | None, ca_file: Path | None) -> Server:
        """A Grafana, with the password in a file. Raises SiteError and SetupError."""
        if path is None:
            raise SetupError(f"Grafana needs the password of {user}: name a file that holds it with --password-file")
        return cls(url, user, read_password(path), ca_file)

    def _ask(
        self, purpose: str, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                method,
                self.url + path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json", **(self._headers if headers is None else headers)},
                redirect=False,
            )
        except HTTPError as error:
            raise SetupError(
                f"Grafana at {self.url} does not answer ({type(error).__name__}), so it cannot {purpose}; "
                "start it, or name the right address with --url"
            ) from None

    def _call(self, purpose: str, method: str, path: str, body: object = None) -> Any:
        """Send a request; *purpose* completes "Grafana refused to …". Raises SetupError, without a secret."""
        answer = self._ask(purpose, method, path, body)
        if answer.status == 401:
            raise SetupError(f"Grafana at {self.url} does not accept the password of {self._user}")
        try:
            content = json.loads(answer.data) if answer.data else {}
        except ValueError:
            raise SetupError(
                f"what answers at {self.url} (status {answer.status}) is no Grafana; name the right address with --url"
            ) from None
        if not 200 <= answer.status < 300:
            said = " ".join(str(content.get("message", "")).split()) if isinstance(content, dict) else ""
            raise SetupError(
                f"Grafana at {self.url} refused to {purpose}: {said or 'it does not say why'} (status {answer.status})"
            )
        return content

    def resource(self, purpose: str, path: str) -> Any:
        """The object at a path of the API, or None. Raises SetupError."""
        if self._ask(purpose, "GET", path).status == 404:
            return None
        return self._call(purpose, "GET", path)

    def send(self, purpose: str, method: str, path: str, body: object) -> Any:
        """Write to a path of the API. Raises SetupError."""
        return self._call(purpose, method, path, body)

    def sign_in(self) -> None:
        """Check the password, because with anonymous access no other call fails for a wrong one. Raises SetupError."""
        self._call("sign in", "GET", "/api/user")

    def accounts(self, name: str) -> list[Account]:
        """The service accounts of exactly that name."""
        query = urlencode({"query": name, "perpage": 100}, quote_via=quote)
        listed = self._call("list its service accounts", "GET", f"/api/serviceaccounts/search?{query}")
        return [
            Account(int(each["id"]), str(each["role"]), bool(each["isDisabled"]))
            for each in listed["serviceAccounts"]
            if each["name"] == name
        ]

    def create_account(self, name: str) -> Account:
        """Create a service account without permissions."""
        made = self._call(
            f"make the service account {name}", "POST", "/api/serviceaccounts", {"name": name, "role": NO_ROLE}
        )
        return Account(int(made["id"]), NO_ROLE, False)

    def narrow_account(self, account_id: int) -> None:
        """Remove all permissions from a service account, and enable it."""
        wanted = {"role": NO_ROLE, "isDisabled": False}
        self._call("change the service account", "PATCH", f"/api/serviceaccounts/{account_id}", wanted)

    def tokens(self, account_id: int) -> list[StoredToken]:
        """The tokens of a service account."""
        listed = self._call("list the account's tokens", "GET", f"/api/serviceaccounts/{account_id}/tokens")
        return [
            StoredToken(int(each["id"]), str(each["name"]), bool(each["hasExpired"]), bool(each["isRevoked"]))
            for each in listed
        ]

    def create_token(self, account_id: int, name: str) -> tuple[int, str]:
        """Create a token that does not expire: its id and its secret, which Grafana shows only once."""
        made = self._call(f"make the token {name}", "POST", f"/api/serviceaccounts/{account_id}/tokens", {"name": name})
        return int(made["id"]), str(made["key"])

    def delete_token(self, account_id: int, token_id: int) -> None:
        """Revoke a token."""
        self._call("revoke a token", "DELETE", f"/api/serviceaccounts/{account_id}/tokens/{token_id}")

    def is_of(self, token: str, account_id: int) -> bool:
        """Whether a token belongs to that account.

        Pushing points proves nothing: a Grafana with anonymous access accepts points from everyone, and does not reject
        an invalid token either.
        """
        answer = self._ask("try the token", "GET", "/api/user", headers={"Authorization": f"Bearer {token}"})
        if answer.status != 200:
            return False
        return bool(json.loads(answer.data).get("uid") == f"service-account:{account_id}")
