"""The debug switch: levels, laziness, and where it writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgewise import debug


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = debug.level()
    yield
    debug.set_level(before)


@pytest.mark.parametrize(
    ("text", "level"), [(None, 0), ("", 0), ("0", 0), ("3", 3), ("9", 1), ("yes", 1)]
)
def test_levels(text: str | None, level: int) -> None:
    assert debug.parse_level(text) == level


def test_only_what_the_level_asks_for_is_made_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    debug.set_level(debug.GRAPHS)
    debug.say(debug.TIMINGS, "store", "12 ms")
    debug.say(debug.GRAPHS, "fuse", lambda: "graph llama")
    debug.say(debug.KERNELS, "webgpu", lambda: pytest.fail("made in vain"))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "[store] 12 ms\n[fuse] graph llama\n")


def test_a_time_is_told_even_if_the_work_fails(capsys: pytest.CaptureFixture[str]) -> None:
    debug.set_level(debug.TIMINGS)
    with pytest.raises(ZeroDivisionError), debug.timed("plan", "compile"):
        _ = 1 / 0
    assert capsys.readouterr().err.startswith("[plan] compile ")
