"""The account that Telegraf uses to push live points: it may push them, and has no role that could read anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sensetig.errors import SetupError
from sensetig.grafana.server import NO_ROLE, Account, Server, StoredToken
from sensetig.influxdb.credentials import Credentials

#: The service account, its only token, and the token's file: telegraf/hub/live.conf names the file as its secret.
ACCOUNT, TOKEN, FILE = "sensetig-telegraf-live", "telegraf", "grafana_token"

#: The stream that Telegraf pushes to: its channels are ``stream/sensetig/DEVICE/MEASUREMENT.FIELD``.
STREAM = "sensetig"


class Outcome(NamedTuple):
    """The state of Grafana after preparation.

    Args:
        changes: a sentence for each change; empty when there was none.
        file: holds the token.
    """

    changes: tuple[str, ...]
    file: Path


def intact(account: Account, tokens: list[StoredToken]) -> bool:
    """Whether an account has no permissions, and exactly the one intended token.

    >>> intact(Account(1, "None", False), [StoredToken(2, "telegraf", False, False)])
    True
    >>> intact(Account(1, "Viewer", False), [StoredToken(2, "telegraf", False, False)])
    False
    """
    return is_narrow(account) and len(tokens) == 1 and tokens[0][1:] == (TOKEN, False, False)


def is_narrow(account: Account) -> bool:
    """Whether an account may sign in but has no permissions.

    >>> is_narrow(Account(1, "None", True))
    False
    """
    return account.role == NO_ROLE and not account.disabled


def prepare(server: Server, folder: Path, say: Callable[[str], None]) -> Outcome:
    """Create the account and its token, or repair them. A second run changes nothing.

    A token is replaced if Grafana rejects it, if it is not the account's only one, or if its file is missing. Telegraf
    reads the file at each write and needs no restart.

    Args:
        server: the Grafana.
        folder: holds the token, in a file that only its owner may read.
        say: called with each change.

    Raises:
        SetupError: one sentence with the problem and the remedy.
    """
    changes: list[str] = []

    def changed(sentence: str) -> None:
        changes.append(sentence)
        say(sentence)

    with Credentials(folder) as credentials:
        server.sign_in()
        account = _account(server, changed)
        kept, stored = credentials.read(FILE), server.tokens(account.id)
        if not (kept and intact(account, stored) and server.is_of(kept, account.id)):
            _replace(server, credentials, account, stored, changed)
        for name in credentials.tightened:
            changed(f"{name} was readable by others, and no longer is; remove it and run this again for a new one")
    return Outcome(tuple(changes), credentials.path(FILE))


def reserve(folder: Path) -> None:
    """Create the token's file with a placeholder if it is missing, so that Telegraf can start first.

    Raises SetupError if it cannot be created.
    """
    with Credentials(folder) as credentials:
        if credentials.read(FILE) is None:
            credentials.write(FILE, "none")


def _account(server: Server, changed: Callable[[str], None]) -> Account:
    found = server.accounts(ACCOUNT)
    if not found:
        made = server.create_account(ACCOUNT)
        changed(f"service account {ACCOUNT} made, with no role")
        return made
    account = found[0]
    if not is_narrow(account):
        server.narrow_account(account.id)
        was = "disabled" if account.disabled else f"of role {account.role}"
        changed(f"service account {ACCOUNT} was {was}, and has no role now")
    return account._replace(role=NO_ROLE, disabled=False)


def _replace(
    server: Server,
    credentials: Credentials,
    account: Account,
    stored: list[StoredToken],
    changed: Callable[[str], None],
) -> None:
    credentials.room()  # before the token is created, because Grafana shows a secret only once
    for each in stored:
        server.delete_token(account.id, each.id)
    token_id, secret = server.create_token(account.id, TOKEN)
    try:
        credentials.write(FILE, secret)
    except SetupError:
        server.delete_token(account.id, token_id)
        raise
    changed(f"{FILE} made{'; the one before is revoked' if stored else ''}")
