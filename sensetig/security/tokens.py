"""Token rotation without data loss: the old token stays valid until a point written with the new one arrives.

1. :func:`begin`: create a second token, in ``device-<name>.token.next``; the first one remains in use.
2. The playbook installs the second one on the device and restarts its Telegraf.
3. :func:`prove`: wait for a point that the device measured after that restart.
4. :func:`finish`: replace the first token with the second, and revoke the first.

Each step can be repeated, and an interrupted rotation resumes where it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from sensetig.errors import SetupError
from sensetig.influxdb.credentials import Credentials
from sensetig.influxdb.names import device_description, device_file, next_description, next_file
from sensetig.influxdb.server import Server
from sensetig.influxdb.stored import StoredToken

_FILE = re.compile(r"device-(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63}?)\.token")

#: Seconds between queries for the point.
_LOOK_SECONDS = 1.0

#: The bucket that devices write to.
_BUCKET = "raw"


class Shown(NamedTuple):
    """The state of a device's token; never the token.

    Args:
        device: its name.
        state: ``holds``, ``rotates`` (a second one waits), ``refused`` (InfluxDB has none, or a different one), or
            ``unknown here`` (InfluxDB has one, but its file is missing).
        made: the day when InfluxDB created it; empty if there is none.
    """

    device: str
    state: str
    made: str


def kept_devices(folder: Path) -> list[str]:
    """The devices with a token in this folder."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise SetupError(f"{folder}, where tokens are kept, cannot be read: {error.strerror}") from None
    return sorted(found["name"] for name in names if (found := _FILE.fullmatch(name)))


def begin(server: Server, credentials: Credentials, device: str) -> bool:
    """Create a second token for a device; False if one is already waiting. Raises SetupError."""
    if credentials.read(device_file(device)) is None:
        raise SetupError(
            f"there is no token of {device} in {credentials.folder} that could be rotated; the playbook makes one, "
            f"and sensetig setup --device {device}, too"
        )
    waiting = server.tokens(next_description(device))
    kept = credentials.read(next_file(device))
    if kept and len(waiting) == 1 and waiting[0].active and server.accepts(kept):
        return False
    present = [each for each in server.tokens(device_description(device)) if each.permissions]
    if len(present) != 1 or present[0].permissions is None:
        raise SetupError(
            f"InfluxDB has {len(present)} tokens for {device} instead of one; sensetig setup --device {device} puts "
            "that right"
        )
    credentials.room()
    for each in waiting:
        server.delete_token(each.id)
    token_id, secret = server.create_token(next_description(device), present[0].permissions)
    try:
        credentials.write(next_file(device), secret)
    except SetupError:
        server.delete_token(token_id)
        raise
    return True


def waiting(credentials: Credentials, device: str) -> str:
    """The second token of a device; empty if there is none."""
    return credentials.read(next_file(device)) or ""


def prove(server: Server, device: str, *, since: float, wait_seconds: float) -> None:
    """Wait until the device writes with its second token. This holds no lock and changes nothing.

    Args:
        server: signed in as operator.
        device: its name.
        since: time of the restart of its Telegraf, in seconds since 1970, by the device's own clock. A point with a
            later time was written with the second token.
        wait_seconds: time limit for that point.

    Raises:
        SetupError: no such point has arrived; the first token is still valid.
    """
    retrying = Retrying(
        stop=stop_after_delay(wait_seconds),
        wait=wait_fixed(_LOOK_SECONDS),
        retry=retry_if_result(lambda arrived: not arrived),
        retry_error_callback=lambda _: False,
    )
    if not retrying(server.has_point, _BUCKET, device, since):
        raise SetupError(
            f"no point that {device} measured after it was handed its new token has arrived within {wait_seconds:g} s; "
            f"the old token still holds. See journalctl -u telegraf on {device}, then rotate again"
        )


def finish(server: Server, credentials: Credentials, device: str) -> bool:
    """Replace the first token with the proven second one; False if none is waiting.

    Raises SetupError if InfluxDB does not accept the second one; the first is still valid.
    """
    secret = credentials.read(next_file(device))
    if secret is None:
        return False
    if not server.accepts(secret):
        raise SetupError(
            f"InfluxDB does not accept the new token of {device}; the old one still holds. Start again: "
            f"sensetig token rotate {device}"
        )
    credentials.write(device_file(device), secret)
    complete(server, credentials, device)
    return True


def complete(server: Server, credentials: Credentials, device: str) -> None:
    """Complete the replacement: revoke the first token, and rename the second one."""
    for each in server.tokens(device_description(device)):
        server.delete_token(each.id)
    for each in server.tokens(next_description(device)):
        server.describe_token(each.id, device_description(device))
    credentials.remove(next_file(device))


def revoke(server: Server, credentials: Credentials, device: str) -> bool:
    """Revoke all tokens of a device, and remove their files; False if there were none."""
    found = [*server.tokens(device_description(device)), *server.tokens(next_description(device))]
    for each in found:
        server.delete_token(each.id)
    files = [credentials.remove(name) for name in (device_file(device), next_file(device))]
    return bool(found) or any(files)


def show(server: Server, credentials: Credentials, devices: Iterable[str]) -> list[Shown]:
    """The state of the tokens of the named devices and of those that InfluxDB knows."""
    stored = {each.description: each for each in server.all_tokens()}
    of_server = {found[1] for each in stored if (found := re.fullmatch(r"SenseTIG: device (\S+) writes", each))}
    return [_shown(server, credentials, stored, device) for device in sorted(of_server | set(devices))]


def _shown(server: Server, credentials: Credentials, stored: dict[str, StoredToken], device: str) -> Shown:
    present = stored.get(device_description(device))
    kept = credentials.read(device_file(device))
    made = present.made if present else ""
    if kept is None:
        return Shown(device, "unknown here", made)
    if present is None or not server.accepts(kept):
        return Shown(device, "refused", made)
    return Shown(device, "rotates" if next_description(device) in stored else "holds", made)
