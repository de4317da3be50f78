"""Which files with secrets others may read."""

from __future__ import annotations

import pytest

from collectors.messaging.session import read_by_others

SERVICE = {"CREDENTIALS_DIRECTORY": "/run/credentials/telegraf.service"}


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_file_of_its_owner_alone_is_read_by_nobody_else(mode: int) -> None:
    assert not read_by_others("/etc/sensetig/password", mode, {})


@pytest.mark.parametrize("mode", [0o440, 0o640, 0o604, 0o620])
def test_any_right_of_others_is_told(mode: int) -> None:
    assert read_by_others("/etc/sensetig/password", mode, {})
    assert read_by_others("/etc/sensetig/password", mode, SERVICE)


def test_what_systemd_hands_to_the_service_is_the_services_own() -> None:
    assert not read_by_others("/run/credentials/telegraf.service/password", 0o440, SERVICE)


@pytest.mark.parametrize(
    "path", ["/run/credentials/another.service/password", "/run/credentials/telegraf.service/../x"]
)
def test_what_it_hands_to_another_service_is_not(path: str) -> None:
    assert read_by_others(path, 0o440, SERVICE)


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o404])
def test_more_than_an_access_list_shows_is_told_there_too(mode: int) -> None:
    assert read_by_others("/run/credentials/telegraf.service/password", mode, SERVICE)
