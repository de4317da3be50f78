"""Build the gateway from the settings, with its files and clocks."""

from __future__ import annotations

import sys
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from collectors.core.api import Context, Unavailable
from collectors.core.cli import load_settings
from collectors.core.files import is_token
from collectors.core.settings import Values
from collectors.gateway import settings
from collectors.gateway.service import Gateway, Stages
from collectors.gateway.source import Source
from collectors.gateway.writer import Target, Writer
from collectors.telemetry import settings as telemetry
from collectors.telemetry.processor import open_stages

#: Schemes in Telegraf's setting -> names here.
_SCHEMES = {"tcp": "mqtt", "ssl": "mqtts"}


def make(context: Context) -> Gateway:
    """The gateway, not connected yet.

    Raises:
        Unavailable: a setting or a secret cannot be used.
        SettingsError: a setting of the collector `telemetry` is wrong.
    """
    values = context.values
    flush_seconds = settings.seconds(values[settings.FLUSH_INTERVAL])
    writer = Writer(_target(values))
    source = _source(values)
    try:
        stages = _stages(context)
    except BaseException:
        source.close()
        raise
    return Gateway(
        source,
        stages,
        writer.write,
        writer.close,
        lambda: writer.waits,
        flush_seconds=flush_seconds,
        live=values[settings.LIVE],
        report=context.report,
        clock_ns=context.clock_ns,
        timer=time.monotonic,
    )


def _target(values: Values) -> Target:
    token = settings.secret("SENSETIG_TELEGRAF_TOKEN", values[settings.TOKEN_FILE], "token_file")
    # The outbox has its own token.
    if not is_token(token) and (token or not values[settings.INFLUXDB_URL].startswith("unix:")):
        raise Unavailable("there is no token for InfluxDB; set SENSETIG_TELEGRAF_TOKEN, or name its file in token_file")
    certificate, key = values[settings.TLS_CERT], values[settings.TLS_KEY]
    if (certificate is None) != (key is None):
        raise Unavailable("tls_cert and tls_key belong together: set both, or neither")
    return Target(
        values[settings.INFLUXDB_URL],
        values[settings.ORGANISATION],
        values[settings.BUCKET],
        token,
        values[settings.TLS_CA],
        certificate,
        key,
    )


def _source(values: Values) -> Source:
    url = str(values[settings.URL])
    scheme = url.partition("://")[0]
    if scheme in ("nats", "tls"):
        from collectors.device_state.nats_kv import read_server
        from collectors.gateway.nats import NatsSource

        password = settings.secret("SENSETIG_NATS_PASSWORD", values[settings.PASSWORD_FILE], "password_file")
        server = read_server(url, ca_file=values[settings.CA_FILE], setting="url")
        server = server._replace(user=server.user or values[settings.USER], password=password or None)
        return NatsSource(server, values[settings.STREAM], values[settings.CONSUMER], _log)
    from collectors.gateway.mqtt import MqttSource
    from collectors.messaging.broker import read_broker

    url = _SCHEMES.get(scheme, scheme) + url[len(scheme) :]
    parts = urlsplit(url)
    if values[settings.USER] and parts.username is None:
        url = urlunsplit(parts._replace(netloc=f"{_quoted(values[settings.USER] or '')}@{parts.netloc}"))
    broker = read_broker(url, None, values[settings.CA_FILE])
    password = settings.secret("SENSETIG_MQTT_PASSWORD", values[settings.PASSWORD_FILE], "password_file")
    if password:
        broker = broker._replace(password=password)
    return MqttSource(broker, values[settings.CLIENT_ID], settings.topics(values[settings.MAKERS]), _log)


def _log(sentence: str) -> None:
    """Write a sentence to Telegraf's log without counting an error."""
    print(f"I! gateway: {sentence}", file=sys.stderr, flush=True)


def _quoted(user: str) -> str:
    from urllib.parse import quote

    return quote(user, safe="")


def _stages(context: Context) -> Stages:
    """The stages of the collector `telemetry`, with its settings."""
    values = Values(load=lambda: load_settings("telemetry", telemetry.SETTINGS, {}))
    stages = open_stages(context._replace(values=values))
    states: list[Any] = [stages.states]

    def tell() -> list[str]:
        return states[0].tell() if states[0] is not None else []

    def end() -> list[str]:
        kept, states[0] = states[0], None
        return kept.close() if kept is not None else []

    def reject(reason: str, time_ns: int, text: str) -> str:
        return stages.rejections.line(reason, time_ns, text=text)

    return Stages(stages.pipeline, tell, end, reject, stages.tags)
