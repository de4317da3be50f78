"""Notification channels: contact points, routing and quiet hours, by variables of Grafana's environment.

Grafana fills in variables when it starts, and has no defaults for them: an unset one is empty. It refuses to start with
a contact point whose address is empty. So each address is the variable followed by a character without effect (``#``
after a URL, ``;`` after addresses), and nothing is sent there until the variable is set: the policy checks that, see
:func:`_set`. Grafana reads a filled-in number as a number and rejects it where it expects text; hence the space and the
brackets around the id of a chat.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from grafana.alerting.model import CRITICAL

#: An alert has no such label, so that it is empty; it differs from a variable exactly when that one is set.
_NO_LABEL = "unset"

#: The mute timings. The first never holds; it has the second's name with the variable unset.
QUIET_NEVER, QUIET_NIGHTS, ALWAYS = "quiet:", "quiet:nights", "always"

_SUBJECT = '{{ template "default.title" . }}'


class Channel(NamedTuple):
    """A notification channel.

    Args:
        key: of its variables: ``SENSETIG_ALERTS_<KEY>_…``.
        name: of the contact point.
        switch: the variable that, set, has alerts sent this way.
        kind: Grafana's type of it.
        settings: Grafana's settings of that type.
    """

    key: str
    name: str
    switch: str
    kind: str
    settings: dict[str, Any]


def variable(key: str, name: str) -> str:
    """The name of a variable."""
    return f"SENSETIG_ALERTS_{key}_{name}"


CHANNELS = (
    Channel(
        "EMAIL",
        "SenseTIG e-mail",
        variable("EMAIL", "ADDRESSES"),
        "email",
        {"addresses": f"${{{variable('EMAIL', 'ADDRESSES')}}};", "singleEmail": True, "subject": _SUBJECT},
    ),
    Channel(
        "WEBHOOK",
        "SenseTIG webhook",
        variable("WEBHOOK", "URL"),
        "webhook",
        {
            "url": f"${{{variable('WEBHOOK', 'URL')}}}#",
            "httpMethod": "POST",
            "authorization_scheme": "Bearer",
            "authorization_credentials": f"${{{variable('WEBHOOK', 'TOKEN')}}}",
        },
    ),
    Channel(
        "NTFY",
        "SenseTIG ntfy",
        variable("NTFY", "URL"),
        "webhook",
        {
            "url": f"${{{variable('NTFY', 'URL')}}}?template=grafana",
            "httpMethod": "POST",
            "authorization_scheme": "Bearer",
            "authorization_credentials": f"${{{variable('NTFY', 'TOKEN')}}}",
        },
    ),
    Channel(
        "TELEGRAM",
        "SenseTIG Telegram",
        variable("TELEGRAM", "CHAT"),
        "telegram",
        {
            # A bot's token is its number, a colon and a secret. Telegram reads the id of a chat up to its last digit.
            "bottoken": f"${{{variable('TELEGRAM', 'BOT')}}}:${{{variable('TELEGRAM', 'SECRET')}}}",
            "chatid": f"${{{variable('TELEGRAM', 'CHAT')}}} ",
            "parse_mode": "None",
        },
    ),
)


def contact_points() -> list[dict[str, Any]]:
    """The contact points; each is whole whether its variables are set or not."""
    return [
        {
            "orgId": 1,
            "name": channel.name,
            "receivers": [
                {
                    "uid": f"sensetig-{channel.key.lower()}",
                    "type": channel.kind,
                    "disableResolveMessage": False,
                    "settings": channel.settings,
                }
            ],
        }
        for channel in CHANNELS
    ]


def policy() -> dict[str, Any]:
    """The policies: alerts of one rule at one site go together, to every contact point that is set.

    Other alerts match the last policy, which is always mute: Grafana shows them, and sends nothing.
    """
    return {
        "orgId": 1,
        "receiver": CHANNELS[0].name,
        "group_by": ["alertname", "site"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "24h",
        "routes": [
            *(_route(channel) for channel in CHANNELS),
            {
                "receiver": CHANNELS[0].name,
                "object_matchers": [["alertname", "=~", ".+"]],
                "mute_time_intervals": [ALWAYS],
            },
        ],
    }


def _route(channel: Channel) -> dict[str, Any]:
    left_out = f"${{{variable(channel.key, 'WITHOUT')}}}"
    return {
        "receiver": channel.name,
        "object_matchers": [_set(channel.switch), ["severity", "!~", left_out]],
        "continue": True,
        "routes": [
            {
                "receiver": channel.name,
                "object_matchers": [["severity", "=", CRITICAL]],
                "repeat_interval": "4h",
            },
            {
                "receiver": channel.name,
                "object_matchers": [["severity", "!=", CRITICAL]],
                "mute_time_intervals": ["quiet:${SENSETIG_ALERTS_QUIET}"],
            },
        ],
    }


def _set(name: str) -> list[str]:
    """A condition that holds exactly when the variable is set: the label is empty, and the variable is not."""
    if name.endswith("_CHAT"):
        return [_NO_LABEL, "!~", f"(${{{name}}})"]
    return [_NO_LABEL, "!=", f"${{{name}}}"]


def mute_times() -> list[dict[str, Any]]:
    """When nothing is sent; the clock is that of the machine that Grafana runs on."""
    # The thirtieth of February.
    never = [{"months": ["2"], "days_of_month": ["30"]}]
    whole_day = [{"start_time": "00:00", "end_time": "24:00"}]
    night = [{"start_time": "22:00", "end_time": "24:00"}, {"start_time": "00:00", "end_time": "07:00"}]
    return [
        {"orgId": 1, "name": QUIET_NEVER, "time_intervals": never},
        {"orgId": 1, "name": QUIET_NIGHTS, "time_intervals": [{"times": night, "location": "Local"}]},
        {"orgId": 1, "name": ALWAYS, "time_intervals": [{"times": whole_day}]},
    ]
