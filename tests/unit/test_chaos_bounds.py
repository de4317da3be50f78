"""The permitted losses of a draw of the fault harness, and its required alerts: the pure parts of its verdict."""

from __future__ import annotations

import pytest

from tests.chaos.alerts import Facts, Verdict, judge
from tests.chaos.draws import Draw, Fault
from tests.chaos.relay import Mode
from tests.chaos.rig import RATE
from tests.chaos.run import ACKNOWLEDGED_SECONDS, SAVED_SECONDS, bounds

CUT = Fault("power_cut", "hub", 5, 3)


def hub(*faults: Fault) -> Draw:
    return Draw(1, "hub", faults)


@pytest.mark.parametrize(
    ("faults", "seconds"),
    [
        ((), 0.0),
        ((Fault("kill", "mosquitto", 5, 3),), 0.0),
        ((Fault("kill", "gateway", 5, 3),), 0.0),
        ((CUT,), ACKNOWLEDGED_SECONDS),
        # The broker and the gateway have it in memory alone, and both are killed.
        ((Fault("kill", "mosquitto", 5, 3), Fault("kill", "gateway", 5.5, 3)), ACKNOWLEDGED_SECONDS),
        ((Fault("kill", "mosquitto", 5, 3), Fault("kill", "gateway", 9, 3)), 0.0),
        ((Fault("kill", "gateway", 3, 1), Fault("kill", "mosquitto", 5, 3)), 2 + ACKNOWLEDGED_SECONDS),
        # While the outbox hangs nothing is written; the broker saves its queue by itself.
        ((Fault("pause", "outbox", 1, 30), Fault("power_cut", "hub", 25, 3)), SAVED_SECONDS),
        ((Fault("kill", "outbox", 1, 1), Fault("power_cut", "hub", 25, 3)), ACKNOWLEDGED_SECONDS),
        # While InfluxDB is away, the gateway writes each 10 s.
        ((Fault("hub", "relay", 1, 30), Fault("power_cut", "hub", 25, 3)), SAVED_SECONDS),
    ],
)
def test_a_power_cut_of_a_hub_may_lose_messages_of_a_stated_time(faults: tuple[Fault, ...], seconds: float) -> None:
    found = bounds(hub(*faults), 10.0)
    assert found["mqtt"] == found["mqtt_untimed"] == seconds * RATE
    assert found["nats"] == 0


def test_an_edge_has_no_messages_to_lose() -> None:
    found = bounds(Draw(1, "edge", (Fault("power_cut", "edge", 5, 3),)), 10.0)
    assert (found["mqtt"], found["nats"]) == (0, 0)
    assert found["execd"] > 0


@pytest.mark.parametrize(
    ("facts", "alert"),
    [
        (Facts(hub(), refused=1), {"points-lost"}),
        (Facts(hub(), damaged=1), {"points-lost", "outbox-damaged"}),
        (Facts(hub(), missing=1), {"outbox-damaged"}),
        (Facts(hub(), dropped=1), {"spool-dropped"}),
        (Facts(Draw(1, "edge", (Fault("hub", "relay", 1, 2000, Mode("refuse")),))), {"outbox-waiting"}),
        (Facts(Draw(1, "edge", (Fault("disk_full", "hub", 1, 400),))), {"writes-held"}),
        (Facts(hub(Fault("pause", "outbox", 1, 100))), {"gateway-stalled"}),
        (Facts(hub(Fault("hub", "relay", 1, 20, Mode("refuse")))), set()),
    ],
)
def test_what_happened_must_have_its_alert_and_no_other_one(facts: Facts, alert: set[str]) -> None:
    assert judge(facts, alert) == Verdict()
    assert judge(facts, set()) == Verdict(missing=tuple(sorted(alert)))
    assert judge(facts, alert | {"device-silent"}) == Verdict(false=("device-silent",))


def test_an_alert_that_depends_on_the_moment_of_a_fault_may_come_or_not() -> None:
    facts = Facts(hub(Fault("kill", "gateway", 1, 1)))
    assert judge(facts, {"gateway-stalled"}) == judge(facts, set()) == Verdict()
