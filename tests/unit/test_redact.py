"""No secret passes the redactor, whichever way it is written; other text stays."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensetig.doctor.redact import REMOVED, Redactor, values

TOKEN = "hE3_kZ9-qW8xYb7Nc6Md5Lf4Kg3Jh2Hi1Gj0Fk9El8Dm7Cn6Bo5Ap4Zq3Yr2Xs1Wt0Vu9Ut8Sv7Rw6Qx5Py4=="  # noqa: S105


@pytest.mark.parametrize(
    "line",
    [
        f"token is {TOKEN}.",
        f"GET /api?token={quote(TOKEN)}",
        json.dumps({"any": TOKEN}),
        base64.b64encode(TOKEN.encode()).decode(),
        f"Authorization: Token {TOKEN}",
        f"x{TOKEN}y",
    ],
)
def test_a_known_secret_is_removed_in_every_form(line: str) -> None:
    redactor = Redactor([TOKEN])
    clean = redactor.clean(line)
    assert TOKEN.rstrip("=") not in clean
    assert REMOVED in clean
    assert not redactor.left_in(clean)


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("password = hunter2", "hunter2"),
        ('admin_password: "hunter2 and more"', "hunter2"),
        ('{"smtp_password": "hun\\"ter2", "host": "mail"}', 'hun\\"ter2'),
        ("SENSETIG_MQTT_PASSWORD='hunter2'", "hunter2"),
        ("secret_key = $ecret", "$ecret"),
        ("token = /hunter2+base64", "hunter2"),
        ("rtsp://camera:hun/ter@2@10.0.0.9/stream", "hun/ter@2"),
        ("https://hooks.example/send?key=hunter2&to=me", "hunter2"),
        ('SENSETIG_ALERTS_WEBHOOK_URL="https://hooks.example/services/T0/B0/hunter2"', "hunter2"),
        ("    url: https://ntfy.example/hunter2", "hunter2"),
        ("SENSETIG_ALERTS_NTFY_URL=https://ntfy.example/hunter2", "hunter2"),
        ("Bearer hunter2hunter2", "hunter2"),
        ("Serial\t\t: 10000000abcdef12", "abcdef12"),
        (f"unknown text with {TOKEN}", TOKEN),
        ("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----\nafter", "MIGH"),
        ("-----BEGIN EC PRIVATE KEY-----\nMIGHAgEAMBMG cut", "MIGH"),
        ("New client connected as plug (p2, c1, k60, u'greenhouse').", "greenhouse"),
    ],
)
def test_a_secret_that_is_not_known_is_removed_by_its_name_or_form(line: str, secret: str) -> None:
    clean = Redactor(()).clean(line)
    assert secret not in clean
    assert REMOVED in clean


@pytest.mark.parametrize(
    "line",
    [
        "SENSETIG_TELEGRAF_TOKEN=@{systemd:telegraf_token}",
        "admin_password = $__file{/run/credentials/grafana-server.service/admin}",
        '  token = "${SENSETIG_TELEGRAF_TOKEN}"',
        '  tls_key = "${SENSETIG_TLS_KEY:-}"',
        "SENSETIG_TLS_KEY=/run/credentials/telegraf.service/tls.key",
        'tokens = "/etc/sensetig/tokens"',
        "ssl_certificate_key /etc/sensetig/credentials/proxy.key;",
        'influxdb_url = "http://127.0.0.1:8086"',
        '2026-01-05T08:00:00+0000 attic influxd[712]: ts=2026-01-05T08:00:00Z lvl=error msg="disk full"',
        "sha256:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",
        "/dev/mmcblk0p2 / ext4 rw,noatime 0 0",
        "the bottom: line of the table",
    ],
)
def test_information_for_a_maintainer_is_kept(line: str) -> None:
    assert Redactor([TOKEN]).clean(line) == line


def test_a_short_secret_is_removed_only_as_a_whole_word() -> None:
    redactor = Redactor(["pi4"])
    assert redactor.clean("pi4 pi42 happi4 'pi4'") == f"{REMOVED} pi42 happi4 '{REMOVED}'"
    assert not redactor.left_in("pi42")
    assert Redactor(["1"]).clean("1 of 10") == "1 of 10"


def test_values_of_settings_are_removed_elsewhere_too() -> None:
    redactor = Redactor(())
    redactor.learn_from("smtp_password = correct-horse\nport = 587\nkey = /etc/x\n")
    assert (
        redactor.clean("535 login with correct-horse failed on port 587")
        == f"535 login with {REMOVED} failed on port 587"
    )


def test_the_longer_of_two_secrets_is_removed_first() -> None:
    assert Redactor(["secret", "secret-longer"]).clean("x secret-longer y") == f"x {REMOVED} y"


def test_the_secrets_of_a_file_are_its_lines_and_what_follows_a_user() -> None:
    found = values("plug:$7$101$abc\n-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----\n")
    assert {"$7$101$abc", "MIGHAgEA"} <= found
    assert "-----BEGIN PRIVATE KEY-----" not in found


def test_names_are_replaced_as_whole_words() -> None:
    redactor = Redactor(())
    redactor.rename({"plug": "mqtt-user-1"})
    assert redactor.clean("mqtt-plug.password of plug, plugin") == "mqtt-mqtt-user-1.password of mqtt-user-1, plugin"


@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=8, max_size=60),
    st.text(max_size=200),
    st.text(max_size=200),
)
def test_no_text_around_a_known_secret_keeps_it(secret: str, before: str, after: str) -> None:
    redactor = Redactor([secret])
    assert not redactor.left_in(redactor.clean(f"{before}{secret}{after}"))


@pytest.mark.parametrize("part", ["-.", "a://", "http://x?", "token", "key=", "-----BEGIN PRIVATE KEY-----", '"', "'"])
def test_long_hostile_texts_are_cleaned_in_linear_work(part: str) -> None:
    # Quadratic work would take hours here, and end with the time of the test.
    Redactor([TOKEN]).clean(part * (400_000 // len(part)))
