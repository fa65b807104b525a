"""Bytes, rate and time left, against a clock that the test turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.store.progress import TICK_S, Meter, Progress


def test_a_steady_download() -> None:
    meter = Meter(400, 1000, now_s=10.0)
    assert meter.read(10.0) == Progress(400, 1000, 0.0, None)
    meter.arrived("a", 100)
    meter.arrived("b", 100)
    assert meter.read(12.0) == Progress(600, 1000, 100.0, 4.0)
    meter.ended("a", 100)
    meter.ended("b", 100)
    assert meter.read(12.0) == Progress(600, 1000, 100.0, 4.0)


def test_the_rate_is_of_the_last_seconds() -> None:
    meter = Meter(0, 10_000, now_s=0.0)
    for second in range(1, 21):
        meter.arrived("a", 100 if second <= 10 else 10)
        rate = meter.read(float(second)).rate
        assert rate == 100 if second <= 10 else rate < 100
    assert rate == 10


def test_what_a_broken_request_brought_does_not_count() -> None:
    meter = Meter(0, 1000, now_s=0.0)
    meter.arrived("a", 500)
    assert meter.read(1.0).done_nbytes == 500
    meter.ended("a", 200)
    after = meter.read(2.0)
    assert (after.done_nbytes, after.rate) == (200, 100.0)
    meter.ended("b", 0)
    assert meter.read(2.0).done_nbytes == 200


def test_due() -> None:
    meter = Meter(0, 10, now_s=0.0)
    assert not meter.due(TICK_S / 2)
    assert meter.due(TICK_S)
    meter.read(TICK_S)
    assert not meter.due(TICK_S * 1.5)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 500), st.booleans())))
def test_never_more_than_all_and_never_negative(
    events: list[tuple[float, int, bool]],
) -> None:
    meter, now, stored = Meter(0, 1000, 0.0), 0.0, 0
    for wait, nbytes, ends in events:
        now += wait
        meter.arrived("a", nbytes)
        if ends and stored + nbytes <= 1000:
            meter.ended("a", nbytes)
            stored += nbytes
        progress = meter.read(now)
        assert stored <= progress.done_nbytes <= 1000
        assert progress.rate >= 0
        assert progress.seconds_left is None or progress.seconds_left >= 0
