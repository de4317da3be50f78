"""The progress messages of a download."""

from __future__ import annotations

from sensetig.engines.archive import REPORT_SECONDS, Progress


def test_a_download_is_reported_from_time_to_time_and_not_with_each_piece() -> None:
    now = 0.0
    said: list[str] = []
    progress = Progress(said.append, lambda: now)
    progress.total = 60_000_000
    for _ in range(60):
        now += REPORT_SECONDS / 20
        progress.update(1_000_000)
    progress.reset()
    progress.update(60_000_000)
    progress.close()
    assert said == ["20 of 60 MB", "40 of 60 MB", "60 of 60 MB"]
