"""The reference page of the environment variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from sensetig.reference.markdown import table

_PAGE = """# Environment variables

<!-- Built by `sensetig reference` from the commands and from sensetig/reference/environment.py: change those. -->

An option on the command line takes precedence over its variable, and a variable over a settings file. An empty variable
counts as absent.

## Collectors

Each setting of a collector has the variable `SENSETIG_COLLECTOR_KEY`, such as `SENSETIG_SENSEHAT_BACKEND`. The
[settings reference](settings.md) has all of them. Telegraf passes its environment on to the collectors.
"""


class Variable(NamedTuple):
    """A variable that is neither a collector's setting nor an option of a command.

    Args:
        name: in capitals.
        meaning: one sentence.
        default: as displayed; for Telegraf it is read from the configuration.
    """

    name: str
    meaning: str
    default: str = "none"


#: Variables in the configuration of Telegraf.
TELEGRAF = (
    Variable("SENSETIG_SITE", "Tag `site` of every point."),
    Variable("SENSETIG_HOST", "Tag `host` of every point; empty for the host name."),
    Variable("SENSETIG_OUTBOX_URL", "Socket of the outbox; without it Telegraf writes to InfluxDB."),
    Variable("SENSETIG_INFLUXDB_URL", "InfluxDB's address."),
    Variable("SENSETIG_ORGANISATION", "InfluxDB's organisation."),
    Variable("SENSETIG_BUCKET", "Bucket for the points."),
    Variable("SENSETIG_TELEGRAF_TOKEN", "Token that may write to the bucket, for a Telegraf without an outbox."),
    Variable("SENSETIG_TLS_CA", "File of the authority that has certified the hub."),
    Variable("SENSETIG_TLS_CERT", "Certificate of this machine, for a Telegraf without an outbox."),
    Variable("SENSETIG_TLS_KEY", "Key of that certificate."),
    Variable("SENSETIG_INTERVAL", "Interval of the collectors; without it each snippet has its own."),
    Variable("SENSETIG_HEALTH_INTERVAL", "Interval of Telegraf's own metrics."),
    Variable("SENSETIG_FLUSH_INTERVAL", "Time until a batch that is not full is written."),
    Variable("SENSETIG_MQTT_FLUSH_INTERVAL", "Time that a message of MQTT waits for others before they are written."),
    Variable("SENSETIG_PYTHON", "Python that has the collectors."),
    Variable("SENSETIG_RETENTION_DAYS", "Days that the bucket keeps points; older ones are refused."),
    Variable("SENSETIG_SPOOL_DIRECTORY", "Folder of the spool that the collector `spool` delivers."),
    Variable("SENSETIG_VISION_SPOOL", "Folder of the spool of a vision service."),
    Variable("SENSETIG_STATUS_SPOOL", "Folder of the spool of the service that reads the state of containers."),
    Variable("SENSETIG_SERVICES", "Units of systemd whose state is recorded, as a pattern."),
    Variable("SENSETIG_MQTT_SERVER", "Broker of the gateway."),
    Variable("SENSETIG_MQTT_USER", "User of the gateway at the broker."),
    Variable("SENSETIG_MQTT_PASSWORD", "Password of that user."),
    Variable("SENSETIG_MQTT_CLIENT_ID", "Client id of the gateway's session."),
    Variable("SENSETIG_MQTT_MAKERS", "Makers whose topics the gateway reads."),
    Variable("SENSETIG_NATS_SERVER", "NATS server of a worker."),
    Variable("SENSETIG_NATS_STREAM", "JetStream stream that the workers read."),
    Variable("SENSETIG_NATS_USER", "User at the NATS server."),
    Variable("SENSETIG_NATS_PASSWORD", "Password of that user."),
    Variable("SENSETIG_GRAFANA_URL", "Grafana that gets points for open panels."),
    Variable("SENSETIG_GRAFANA_TOKEN", "Token of Grafana's account for these points."),
    Variable("SENSETIG_LIVE_TOKENS", "Folder of that token."),
    Variable("SENSETIG_LIVE_RETRY", "Time between two attempts to reach Grafana."),
)

#: Variables in the provisioning of Grafana.
GRAFANA = (
    Variable("SENSETIG_INFLUXDB_URL", "InfluxDB's address, for the data sources."),
    Variable("SENSETIG_ORGANISATION", "InfluxDB's organisation."),
    Variable("SENSETIG_GRAFANA_TOKEN", "InfluxDB token that may read the buckets."),
    Variable("SENSETIG_DASHBOARDS", "Folder of the dashboards."),
    Variable("SENSETIG_ALERTS_EMAIL_ADDRESSES", "E-mail addresses for alerts, separated by `;`."),
    Variable("SENSETIG_ALERTS_EMAIL_WITHOUT", "Severities that are not sent by e-mail, such as `info|warning`."),
    Variable("SENSETIG_ALERTS_WEBHOOK_URL", "Address that gets Grafana's JSON by POST."),
    Variable("SENSETIG_ALERTS_WEBHOOK_TOKEN", "Bearer token for that address."),
    Variable("SENSETIG_ALERTS_WEBHOOK_WITHOUT", "Severities that are not sent to the webhook."),
    Variable("SENSETIG_ALERTS_NTFY_URL", "Address of a topic of ntfy."),
    Variable("SENSETIG_ALERTS_NTFY_TOKEN", "Token for that topic."),
    Variable("SENSETIG_ALERTS_NTFY_WITHOUT", "Severities that are not sent to ntfy."),
    Variable("SENSETIG_ALERTS_TELEGRAM_BOT", "Part of the Telegram bot's token before the colon."),
    Variable("SENSETIG_ALERTS_TELEGRAM_SECRET", "Part of the token after the colon."),
    Variable("SENSETIG_ALERTS_TELEGRAM_CHAT", "Number of the Telegram chat, negative for a group."),
    Variable("SENSETIG_ALERTS_TELEGRAM_WITHOUT", "Severities that are not sent to Telegram."),
    Variable("SENSETIG_ALERTS_QUIET", "`nights` for critical alerts only, from 22:00 to 07:00."),
)

#: Variables that several programs read.
GENERAL = (
    Variable("SENSETIG_SETTINGS", "Settings file of the collectors.", "/etc/sensetig/sensetig.toml"),
    Variable("SENSETIG_DEBUG", "Debugger of one collector, as `NAME:PORT` or `NAME:PORT:wait`."),
    Variable("SENSETIG_CACHE", "Folder of downloaded and built engines.", "the user's cache folder"),
    Variable("GRAFANA_HOME", "Folder of the Grafana that the demo and the tests start."),
    Variable("SENSETIG_RANDOM_DATA_TOKEN", "InfluxDB token of the collector `random_data`."),
    Variable("SENSETIG_SIMULATE_TOKEN", "InfluxDB token for the points of `sensetig simulate`."),
)


def render_environment(program: click.Group, name: str, telegraf: Path) -> str:
    """The page of variables, in Markdown.

    Args:
        program: the group that holds all commands.
        name: its name on the command line.
        telegraf: the folder of Telegraf's configuration, which contains the defaults.
    """
    parts = [_PAGE, "## All programs\n", *_variables(GENERAL), "## Commands\n"]
    parts += table(("variable", "option", "meaning"), _options(program, name))
    parts += ["## Telegraf\n", *_variables(_with_defaults(TELEGRAF, telegraf))]
    parts += [
        "## Grafana\n",
        "Grafana has no defaults for variables: an unset variable is empty.\n",
        *table(("variable", "meaning"), [[f"`{each.name}`", each.meaning] for each in GRAFANA]),
    ]
    return "\n".join(parts)


def _variables(variables: Iterable[Variable]) -> Iterator[str]:
    rows = [
        [f"`{each.name}`", each.default if " " in each.default or each.default == "none" else f"`{each.default}`",
         each.meaning]
        for each in variables
    ]  # fmt: skip
    yield from table(("variable", "default", "meaning"), rows)


def _with_defaults(variables: Iterable[Variable], telegraf: Path) -> Iterator[Variable]:
    texts = [path.read_text(encoding="utf-8") for path in sorted(telegraf.rglob("*.conf"))]
    found: dict[str, set[str]] = {}
    for text in texts:
        for name, default in re.findall(r"\$\{(SENSETIG_\w+):-((?:\$\{[^}]*\}|[^}$])*)\}", text):
            found.setdefault(name, set()).add(re.sub(r"\$\{(\w+):-[^}]*\}", r"the value of \1", default))
    for each in variables:
        defaults = found.get(each.name, {""})
        shown = next(iter(defaults)) or "none" if len(defaults) == 1 else "differs by snippet"
        yield each._replace(default=shown)


def _options(program: click.Group, name: str) -> list[list[str]]:
    """A row for each variable of an option; commands that share a variable share its row."""
    context = click.Context(program, info_name=name, **program.context_settings)
    rows: dict[str, tuple[str, list[str], str]] = {}
    for command, parent in _commands(program, context):
        for option in command.params:
            if not isinstance(option, click.Option):
                continue
            for variable in _names(option, parent):
                known = rows.setdefault(variable, (option.opts[-1], [], _help(option)))
                known[1].append(parent.command_path)
    return [
        [f"`{variable}`", f"`{option}` of {_used_by(commands)}", text]
        for variable, (option, commands, text) in sorted(rows.items())
    ]


def _help(option: click.Option) -> str:
    """The meaning of an option, without the default that follows it."""
    return (option.help or "").partition("  [default")[0]


def _used_by(commands: list[str]) -> str:
    return f"`{commands[0]}`" if len(commands) == 1 else f"{len(commands)} commands"


def _names(option: click.Option, context: click.Context) -> list[str]:
    if option.envvar:
        return [option.envvar] if isinstance(option.envvar, str) else list(option.envvar)
    if option.allow_from_autoenv and context.auto_envvar_prefix and option.name and option.show_envvar:
        return [f"{context.auto_envvar_prefix}_{option.name.upper()}"]
    return []


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        own = click.Context(command, parent=context, info_name=name, **command.context_settings)
        yield command, own
        if isinstance(command, click.Group):
            yield from _commands(command, own)
