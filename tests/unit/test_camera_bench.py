"""The bench scores events fairly: matched, invented and missed ones."""

from __future__ import annotations

import pytest

from tests.bench.bench_camera import Found, Score, compare, events_of
from tests.bench.camera_clips import Visit

VISITS = [Visit(100, 150, 103), Visit(400, 460, 402)]


def test_benchmark_groups_frames_with_motion_like_the_collector() -> None:
    frames = [*range(100, 150), *range(170, 180), 300, *range(400, 403)]
    assert events_of(frames, 3, 10) == [Found(100, 179, 102), Found(400, 402, 402)]
    assert events_of(frames, 1, 10) == [Found(100, 179, 100), Found(300, 300, 300), Found(400, 402, 400)]
    assert events_of([], 3, 10) == []


@pytest.mark.parametrize(
    ("found", "score"),
    [
        ([Found(101, 151, 103), Found(398, 462, 400)], Score(2, 0, 0)),
        ([Found(101, 151, 103)], Score(1, 0, 1)),
        ([Found(101, 151, 103), Found(200, 250, 202), Found(398, 462, 400)], Score(2, 1, 0)),
        ([Found(90, 470, 92)], Score(0, 1, 2)),
        ([Found(100, 110, 102), Found(400, 460, 402)], Score(1, 1, 1)),
        ([], Score(0, 0, 2)),
    ],
)
def test_event_matches_a_visit_if_they_overlap_by_half(found: list[Found], score: Score) -> None:
    assert compare(found, VISITS)[0] == score


def test_precision_recall_and_f1() -> None:
    score = Score(6, 2, 4) + Score(2, 0, 0)
    assert score.precision == 0.8
    assert score.recall == pytest.approx(2 / 3)
    assert score.f1 == pytest.approx(2 * 0.8 * (2 / 3) / (0.8 + 2 / 3))
    assert Score().f1 == 0
