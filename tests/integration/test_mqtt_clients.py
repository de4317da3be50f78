"""The users of a machine's programs at the broker, with the access list that the role mqtt writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from sensetig import bundle
from tests.integration import mosquitto
from tests.integration.gateway import USERS, Heard, client, publish, until
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.engines

ROLE = bundle.root() / "ansible/roles/mqtt"
KINDS = ("agent", "camera", "pictures", "vision")


def access_list(device: str, *, hub: bool) -> str:
    """The part of the access list for a machine that runs every kind of program."""
    environment = jinja2.Environment(trim_blocks=True, autoescape=False)  # noqa: S701 - no HTML
    known: dict[str, Any] = {"mqtt_device": device, "sensetig_is_hub": hub, "mqtt_clients": KINDS, "mqtt_camera": ""}

    def rendered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rendered(each) for key, each in value.items()}
        if isinstance(value, list):
            return [rendered(each) for each in value]
        return environment.from_string(value).render(known)

    kinds = rendered(yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["mqtt_kinds"])
    text = (ROLE / "templates/device.acl.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(known | {"mqtt_kinds": kinds})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    folder = tmp_path_factory.mktemp("broker")
    machines = {"hall": False, "loft": True}
    users = [f"{machine}-{kind}" for machine in machines for kind in KINDS]
    with pytest.MonkeyPatch.context() as patch:
        for user in users:
            patch.setitem(USERS, user, f"password of {user}")
        with mosquitto.shipped(folder, USERS) as running:
            running.stop()
            _append(folder / "sensetig.acl", [access_list(name, hub=hub) for name, hub in machines.items()])
            running.start()
            yield running


def _append(path: Path, texts: list[str]) -> None:
    path.write_text("\n".join([path.read_text(encoding="utf-8"), *texts]), encoding="utf-8")


def test_the_programs_of_a_machine_are_connected_at_the_same_time(broker: Mosquitto) -> None:
    with ExitStack() as stack:
        programs = [stack.enter_context(client(broker, f"hall-{kind}")) for kind in KINDS]
        operator = stack.enter_context(client(broker, "operator"))
        heard = [Heard(each, "sensetig/hall/command/#") for each in programs[:2]]
        publish(operator, "sensetig/hall/command/ping", "{}")
        until(lambda: all(each.topics == ["sensetig/hall/command/ping"] for each in heard), 120)
        assert all(each.is_connected() for each in programs)


def test_each_program_may_do_its_own_work_and_no_other(broker: Mosquitto) -> None:
    topics = {
        "agent": ["sensetig/hall/telemetry/system", "sensetig/hall/status", "sensetig/hall/result/1"],
        "camera": ["sensetig/hall/result/2"],
        "pictures": ["sensetig/hall/camera/snapshot"],
        "vision": [],
    }
    others = ["sensetig/cellar/telemetry/system", "sensetig/hall/command/ping", "sensetig/cellar/camera/snapshot"]
    with client(broker, "telegraf") as telegraf, client(broker, "operator") as operator, ExitStack() as stack:
        read = [Heard(telegraf, "sensetig/+/telemetry/#"), Heard(operator, "sensetig/+/result/#")]
        pictures = Heard(stack.enter_context(client(broker, "loft-vision")), "sensetig/+/camera/snapshot")
        for kind in KINDS:
            with client(broker, f"hall-{kind}") as program:
                for topic in [*(each for every in topics.values() for each in every), *others]:
                    publish(program, topic, kind)
        with client(broker, "hall-pictures") as last:
            publish(last, "sensetig/hall/camera/snapshot", "last")
        until(lambda: len(pictures.topics) >= 2 and len(read[0].topics) >= 1 and len(read[1].topics) >= 4, 120)
        assert read[0].topics == ["sensetig/hall/telemetry/system"]
        # The agent may write the results of all commands, the camera those too; all other topics are rejected.
        assert sorted(read[1].topics) == [
            "sensetig/hall/result/1", "sensetig/hall/result/1", "sensetig/hall/result/2", "sensetig/hall/result/2",
        ]  # fmt: skip
        assert pictures.topics == ["sensetig/hall/camera/snapshot"] * 2


def test_vision_of_an_edge_sees_its_own_pictures_and_that_of_the_hub_all(broker: Mosquitto) -> None:
    with (
        client(broker, "hall-vision") as edge,
        client(broker, "loft-vision") as hub,
        client(broker, "hall-pictures") as hall,
        client(broker, "loft-pictures") as loft,
    ):
        own = Heard(edge, "sensetig/+/camera/snapshot")
        every = Heard(hub, "sensetig/+/camera/snapshot")
        publish(loft, "sensetig/loft/camera/snapshot", "{}")
        publish(hall, "sensetig/hall/camera/snapshot", "{}")
        until(lambda: len(every.topics) == 2 and len(own.topics) == 1, 120)
        assert own.topics == ["sensetig/hall/camera/snapshot"]
