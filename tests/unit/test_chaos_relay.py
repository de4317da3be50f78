"""The relay of the fault harness responds as configured."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import urllib3

from sensetig.demo.testbed import ports
from tests.chaos.draws import MODES
from tests.chaos.relay import Mode, Relay


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    found = Relay(ports.any_free())
    found.start()
    yield found
    found.stop()


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.kind == "answer"], ids=str)
def test_the_relay_answers_with_the_status_of_its_mode(relay: Relay, mode: Mode) -> None:
    relay.set(mode)
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", f"http://127.0.0.1:{relay.port}/api/v2/write", body=b"m v=1", retries=False)
    assert answer.status == mode.number
    assert answer.headers.get("Retry-After") == (str(mode.retry_after) if mode.retry_after else None)
    if mode.influxdb:
        assert json.loads(answer.data)["code"]
    else:
        assert answer.data.startswith(b"<html>")
