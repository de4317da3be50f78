"""The calls that the live account needs from Grafana's HTTP API; every failure becomes a SetupError."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, make_headers, parse_url

from collectors.messaging.broker import is_loopback
from sensetig.influxdb import SetupError

#: Seconds that one request may take.
TIMEOUT_SECONDS = 10.0

#: The role that may do nothing.
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
    """A Grafana, as its administrator sees it.

    Args:
        url: where it answers; a path is kept, for a Grafana behind one.
        user: an administrator's name.
        password: of that user; it goes into the header of the requests and nowhere else.

    Raises:
        SetupError: the URL is none, holds a password, or would send the password unencrypted to another machine.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        try:
            parsed = parse_url(url)
        except HTTPError:
            parsed = parse_url("")
        if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
            raise SetupError("the URL is not that of a Grafana; expected one such as http://127.0.0.1:3000")
        if parsed.auth:
            raise SetupError("no user and no password belong in Grafana's URL; name a file with --password-file")
        if parsed.scheme == "http" and not is_loopback(parsed.host.strip("[]")):
            raise SetupError(f"the password would go unencrypted to {parsed.host}; give an https:// URL of Grafana")
        self.url = url.rstrip("/")
        self._pool = urllib3.PoolManager(retries=False, timeout=Timeout(TIMEOUT_SECONDS))
        self._headers = make_headers(basic_auth=f"{user}:{password}")
        self._user = user

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
        """What Grafana answers; *purpose* completes "Grafana refused to …". Raises SetupError, without a secret."""
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
        """What stands at a path of the API, or None where there is nothing. Raises SetupError."""
        if self._ask(purpose, "GET", path).status == 404:
            return None
        return self._call(purpose, "GET", path)

    def send(self, purpose: str, method: str, path: str, body: object) -> Any:
        """Write to a path of the API. Raises SetupError."""
        return self._call(purpose, method, path, body)

    def sign_in(self) -> None:
        """Make sure that the password is right, which a Grafana that lets everybody look does not tell elsewhere."""
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
        """Make a service account that may do nothing."""
        made = self._call(
            f"make the service account {name}", "POST", "/api/serviceaccounts", {"name": name, "role": NO_ROLE}
        )
        return Account(int(made["id"]), NO_ROLE, False)

    def narrow_account(self, account_id: int) -> None:
        """Take every right from a service account, and let it sign in."""
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
        """Make a token that does not expire: its id and its secret, which Grafana tells this once."""
        made = self._call(f"make the token {name}", "POST", f"/api/serviceaccounts/{account_id}/tokens", {"name": name})
        return int(made["id"]), str(made["key"])

    def delete_token(self, account_id: int, token_id: int) -> None:
        """Revoke a token."""
        self._call("revoke a token", "DELETE", f"/api/serviceaccounts/{account_id}/tokens/{token_id}")

    def is_of(self, token: str, account_id: int) -> bool:
        """Whether a token signs that account in.

        That it may push would tell nothing: a Grafana that lets everybody look takes points from everybody, too, and
        does not refuse a wrong token either.
        """
        answer = self._ask("try the token", "GET", "/api/user", headers={"Authorization": f"Bearer {token}"})
        if answer.status != 200:
            return False
        return bool(json.loads(answer.data).get("uid") == f"service-account:{account_id}")
