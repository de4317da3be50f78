"""Where a hub has its things."""

from __future__ import annotations

from pathlib import Path

from sensetig.security.hub import Hub


def test_the_presented_certificate_is_the_sites_own_if_there_is_one(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    assert hub.certificate == tmp_path / "etc/sensetig/tls/device.crt"
    hub.tls.mkdir(parents=True)
    (hub.tls / "site.crt").touch()
    assert hub.certificate == tmp_path / "etc/sensetig/tls/site.crt"
