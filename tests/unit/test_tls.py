"""The authorities that programs trust: the system's, those of the installation, and those of an option."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collectors.core import tls
from collectors.core.api import Unavailable
from collectors.device_state import nats_kv
from collectors.gateway import nats as gateway
from collectors.messaging import broker
from sensetig.errors import SiteError
from sensetig.security.issuing import establish, names_of
from sensetig.site import tls_context
from tests.unit.test_issuing import NOW


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of authorities of an installation, with that of its hub."""
    folder = tmp_path / "trusted"
    folder.mkdir()
    establish(tmp_path / "authority", "hub", names_of(["hub.example"]), NOW, 3650, 365)
    (folder / "authority.crt").write_bytes((tmp_path / "authority/authority.crt").read_bytes())
    monkeypatch.setattr(tls, "TRUSTED", str(folder))
    return folder


def of_a_broker(ca_file: str | None = None) -> ssl.SSLContext:
    return broker.tls_context(broker.Broker("hub.example", 8883, True, ca_file=ca_file))


def of_a_command(ca_file: str | None = None) -> ssl.SSLContext:
    return tls_context(None if ca_file is None else Path(ca_file))


def of_the_device_state(ca_file: str | None = None) -> ssl.SSLContext:
    store = nats_kv.NatsStore(nats_kv.Server("hub.example", 4222, True, ca_file=ca_file), "bucket", 1, print)
    context = store._encryption()
    assert isinstance(context, ssl.SSLContext)
    return context


def of_the_gateway(ca_file: str | None = None) -> ssl.SSLContext:
    context = gateway._encryption(nats_kv.Server("hub.example", 4222, True, ca_file=ca_file))
    assert context is not None
    return context


CLIENTS = [of_a_broker, of_a_command, of_the_device_state, of_the_gateway]


def known(context: ssl.SSLContext) -> set[str]:
    """The common names of the authorities that a context trusts."""
    certificates: list[Any] = context.get_ca_certs()
    return {value for each in certificates for pair in each["subject"] for key, value in pair if key == "commonName"}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_knows_the_hub_by_the_authority_of_its_installation(
    client: Callable[..., ssl.SSLContext], trusted: Path
) -> None:
    assert "SenseTIG hub" in known(client())
    (trusted / "authority.crt").unlink()
    assert "SenseTIG hub" not in known(client())


@pytest.mark.parametrize("client", CLIENTS)
def test_the_authority_of_the_site_is_trusted_in_addition(
    client: Callable[..., ssl.SSLContext], trusted: Path, tmp_path: Path
) -> None:
    establish(tmp_path / "other", "site", names_of(["hub.example"]), NOW, 3650, 365)
    (trusted / "site.crt").write_bytes((tmp_path / "other/authority.crt").read_bytes())
    assert {"SenseTIG hub", "SenseTIG site"} <= known(client())


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("client", [of_a_broker, of_the_device_state, of_the_gateway])
def test_a_broker_with_a_given_authority_is_verified_by_that_authority_only(
    client: Callable[..., ssl.SSLContext], tmp_path: Path
) -> None:
    establish(tmp_path / "other", "site", names_of(["hub.example"]), NOW, 3650, 365)
    assert known(client(str(tmp_path / "other/authority.crt"))) == {"SenseTIG site"}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_machine_without_an_installation_has_the_systems_authorities(
    client: Callable[..., ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "TRUSTED", str(tmp_path / "none"))
    assert "SenseTIG hub" not in known(client())


@pytest.mark.parametrize("client", CLIENTS)
def test_a_damaged_authority_is_named(client: Callable[..., ssl.SSLContext], trusted: Path) -> None:
    (trusted / "authority.crt").write_text("no certificate")
    with pytest.raises((Unavailable, SiteError), match=r"trusted/authority\.crt"):
        client()
