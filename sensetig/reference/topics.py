"""The reference page of the MQTT topics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from collectors.camera.settings import COMMAND_ALLOW as CAMERA_ALLOW
from collectors.gateway.settings import TOPICS
from collectors.messaging.commands import command_topic, result_topic
from collectors.mqtt.settings import COMMAND_ALLOW as AGENT_ALLOW
from collectors.vision.snapshot import TOPIC as SNAPSHOT
from sensetig.reference.markdown import table

_PAGE = """# MQTT topics

<!-- Built by `sensetig reference` from the code and from mosquitto/sensetig.acl: change those, not this file. -->

`DEVICE` is the name of a device, and of its user at the broker. `+` is any one level of a topic, and `#` any number of
levels. [MQTT payloads](mqtt-payloads.md) describes the payloads, and
[commands by MQTT](../how-to/commands.md) the commands.
"""

#: Topic that the gateway reads -> its meaning. A topic in :data:`TOPICS` without a meaning fails the build of the page.
_READ = {
    "sensetig/+/telemetry/#": "telemetry: a JSON object, a list of them, or line protocol",
    "sensetig/+/status": "`online` or `offline`, also as a last will",
    "tele/+/SENSOR": "readings of sensors",
    "tele/+/+/SENSOR": "readings of a device behind a Zigbee bridge",
    "tele/+/STATE": "state of the device",
    "tele/+/LWT": "last will",
    "tele/+/INFO1": "version of the firmware",
    "zigbee2mqtt/+": "state of a device",
    "zigbee2mqtt/+/availability": "`online` or `offline`",
    "esphome/+/+/+/state": "value of a component",
    "esphome/+/status": "`online` or `offline`",
    "homeassistant/+/+/state": "value of an entity, from `mqtt_statestream`",
}

_COMMANDS = {
    "ping": "Answer with the clock and the version.",
    "collect_now": "Run collectors once.",
    "reload_settings": "Check the settings and restart the collectors.",
    "led_text": "Scroll a text over the LED matrix.",
    "led_colour": "Fill the matrix with a colour.",
    "led_picture": "Show a picture on the matrix.",
    "led_temperature": "Show a temperature as a colour.",
    "led_off": "Switch the matrix off.",
    "camera_ping": "Answer with the clock.",
    "camera_photo": "Take a photo.",
    "camera_video": "Record a clip.",
    "camera_detection": "Switch detection on or off.",
}


def render_topics(access: Path) -> str:
    """The page of topics, in Markdown.

    Args:
        access: the broker's access list.
    """
    parts = [_PAGE, "## Topics that the gateway reads\n"]
    parts.append("The topics of a maker are read if the gateway's setting `makers` names it.\n")
    parts += table(
        ("maker", "topic", "payload"),
        [[maker or "SenseTIG", f"`{topic}`", _READ[topic]] for maker, topics in TOPICS.items() for topic in topics],
    )
    parts.append("## Commands, results and pictures\n")
    parts += table(
        ("topic", "payload", "sender"),
        [
            [f"`{command_topic('DEVICE', 'NAME')}`", "a command as JSON", "operator"],
            [f"`{result_topic('DEVICE', 'ID')}`", "the answer to the command with this id", "agent or camera"],
            [f"`{SNAPSHOT.format(device='DEVICE')}`", "the picture of an event, for the collector `vision`", "camera"],
        ],
    )
    parts.append("## Names of commands\n")
    rows = [
        [f"`{name}`", who, _COMMANDS[name]]
        for who, setting in (("agent", AGENT_ALLOW), ("camera", CAMERA_ALLOW))
        for name in setting.default.split(",")
    ]
    parts += table(("name", "carried out by", "meaning"), rows)
    parts.append("## Rights at the broker\n")
    parts.append("The broker discards what this list does not allow. The playbook adds the users in `mqtt_clients`.\n")
    parts += table(("user", "right", "topic"), list(_rights(access)))
    return "\n".join(parts)


def _rights(access: Path) -> Iterator[list[str]]:
    user = ""
    for line in access.read_text(encoding="utf-8").splitlines():
        match line.split():
            case ["user", name]:
                user = name
            case ["topic", right, topic]:
                yield [f"`{user}`", right, f"`{topic}`"]
            case ["pattern", right, topic]:
                yield ["every other user", right, f"`{topic.replace('%u', 'DEVICE')}`"]
