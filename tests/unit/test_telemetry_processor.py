"""The processor's degraded mode, with its clock in the test's hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from collectors import telemetry
from collectors.core.api import Context, Unavailable
from collectors.core.api import Processor as ProcessorProtocol
from collectors.core.errors import ErrorReporter
from collectors.core.settings import SettingsError, Values
from collectors.telemetry.processor import RETRY_INTERVAL_SECONDS, Processor, Stages, open_stages

LINE = b"environment,device=pi temperature_raw_celsius=20.5 1700000000000000001\n"


class Bench:
    """A processor whose settings are wrong until the test mends them."""

    def __init__(
        self,
        *,
        once: bool = False,
        broken: Exception | None = None,
        values: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.now = 0.0
        self.broken = broken
        self.loads = 0
        self.logged: list[str] = []
        self.report = ErrorReporter("telemetry", self.logged.append)
        self._values = {"state": "none", "calibrations": "", **values}
        self.context = Context(Values(load=self._load), self.report, once, "hub", lambda: 1_700_000_000_000_000_000)
        self.processor = Processor(self._open, self.context, lambda: self.now)

    def _load(self) -> Values:
        self.loads += 1
        if isinstance(self.broken, SettingsError):
            raise self.broken
        return Values(self._values)

    def _open(self, context: Context) -> Stages:
        if self.broken is not None and not isinstance(self.broken, SettingsError):
            raise self.broken
        return open_stages(context)


FAULTS = [SettingsError("line 1: no such key"), Unavailable("the limits cannot be read"), ImportError("no such module")]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_processor_that_cannot_start_passes_whole_lines_through(fault: Exception) -> None:
    bench = Bench(broken=fault)
    assert isinstance(bench.processor, ProcessorProtocol)
    assert not bench.processor.up
    assert bench.processor.process(LINE[:10]) == (b"", 0)
    assert bench.processor.process(LINE[10:] + LINE) == (LINE * 2, 2)
    assert list(bench.processor.flush()) == [(b"", 0)]
    assert len(bench.logged) == 1
    assert str(fault) in bench.logged[0]
    assert "lines go through neither calibrated nor validated" in bench.logged[0]
    bench.processor.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_processor_that_runs_once_raises_instead(fault: Exception) -> None:
    with pytest.raises(type(fault), match=str(fault)):
        Bench(once=True, broken=fault)


def test_each_attempt_reads_the_settings_again_and_is_counted() -> None:
    bench = Bench(broken=FAULTS[0])
    assert (bench.report.take(), bench.loads) == (1, 1)
    bench.now = RETRY_INTERVAL_SECONDS - 0.1
    assert bench.processor.tick() == (b"", 0)
    assert (bench.report.take(), bench.loads) == (0, 1)
    bench.now = RETRY_INTERVAL_SECONDS
    bench.processor.tick()
    bench.processor.tick()
    assert (bench.report.take(), bench.loads) == (1, 2)


def test_a_line_that_is_half_read_at_the_cure_is_neither_lost_nor_cut() -> None:
    bench = Bench(broken=FAULTS[0], values={"host": "other", "site": "home"})
    assert bench.processor.tags == {"host": "hub"}
    bench.processor.process(LINE + LINE[:20])
    bench.broken = None
    bench.now = RETRY_INTERVAL_SECONDS
    assert bench.processor.tick() == (b"", 0)
    assert bench.processor.up
    assert bench.processor.tags == {"host": "other", "site": "home"}
    assert bench.processor.process(LINE[20:]) == (LINE, 1)
    assert b"".join(out for out, _ in bench.processor.flush()) == b""
    bench.processor.close()


def test_a_line_that_is_too_long_is_counted_while_degraded() -> None:
    bench = Bench(broken=FAULTS[0])
    bench.report.take()
    bench.processor.process(b"x" * (5 * 1024 * 1024))
    assert bench.processor.process(b"x\n" + LINE) == (LINE, 1)
    assert bench.report.take() == 1


def test_tags_come_from_the_environment_while_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSETIG_TELEMETRY_HOST", "loft")
    monkeypatch.setenv("SENSETIG_TELEMETRY_SITE", "school")
    assert Bench(broken=FAULTS[0]).processor.tags == {"host": "loft", "site": "school"}


def _refused(*_: object) -> None:
    raise AssertionError("a wrong setting must be found before the state is opened")


@pytest.mark.parametrize("values", [{"limits": "/no/such"}, {"earliest": "once"}])
def test_a_wrong_setting_leaves_no_state_open(
    values: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("collectors.device_state.tracker.open_tracker", _refused)
    bench = Bench(values={"state": str(tmp_path / "state.db"), **values})
    assert not bench.processor.up


@pytest.mark.parametrize(("value", "lines"), [("disk", 1), ("", 0)])
def test_the_variable_of_the_former_buffer_is_reported_as_deprecated(
    value: str, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SENSETIG_BUFFER", value)
    monkeypatch.setattr("collectors.telemetry.processor.open_processor", lambda _: None)
    telemetry.create(Bench().context)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert all("W! telemetry: SENSETIG_BUFFER is deprecated" in line for line in said)
