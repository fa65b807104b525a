"""What browsers' WebNN takes and then gets wrong, or refuses when the graph is built.

A row says what is wrong and in which browsers. tests/targets/webnn_guards.py has the smallest graph
that shows it: when the browser gets that right by itself (e2e/test_webnn.py asks it), the row gets
its last version, `fixed`, and can go when that is old.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...dims import evaluate
from ...graph.graph import Constant
from ...ops.base import Attr, Op, Type, Value
from .facts import WebnnFacts


@dataclass(frozen=True, slots=True)
class Use:
    """An operator applied: what a refusal is decided on. `constants` by value name."""

    op: Op
    inputs: Sequence[Value | None]
    attrs: Mapping[str, Attr]
    outputs: Sequence[Type]
    constants: Mapping[str, Constant]

    def input(self, index: int) -> Value:
        """A required input."""
        value = self.inputs[index]
        assert value is not None, f"{self.op.name} {index=}"
        return value

    def constant(self, index: int) -> Constant | None:
        """The constant that an input is, or None."""
        return self.constants.get(self.input(index).name)

    def ints(self, name: str, default: int = 0) -> tuple[int, ...]:
        """A list of integers among the attributes; `default` for any number of them if absent."""
        given = self.attrs.get(name)
        if given is None:
            return (default,) * 8
        assert isinstance(given, tuple), f"{self.op.name} {name} {given=}"
        return tuple(each for each in given if isinstance(each, int))

    @property
    def spatial(self) -> tuple[int, int]:
        """The axes of height and width, by `layout`."""
        layout = self.attrs.get("layout", self.attrs.get("inputLayout", "nchw"))
        return (1, 2) if layout == "nhwc" else (2, 3)


@dataclass(frozen=True, slots=True)
class Guard:
    """One thing that is wrong with an operator.

    seen   the Chromium in which it was found
    fixed  the first Chromium that gets it right, once it is known
    """

    op: str
    reason: str
    applies: Callable[[Use], bool]
    seen: int
    fixed: int | None = None

    def browsers(self, facts: WebnnFacts) -> bool:
        """Whether this browser is one of those. Older ones are taken to have it too."""
        return facts.chromium > 0 and (self.fixed is None or facts.chromium < self.fixed)


def padded(use: Use) -> bool:
    """Whether there is padding."""
    return any(use.ints("padding"))


def overhangs(use: Use) -> bool:
    """Whether a pool's last window reaches beyond the padded input: its size was rounded up."""
    return any(end > 0 for _, end in missing(use, with_padding=False))


def missing(use: Use, *, with_padding: bool = True) -> list[tuple[int, int]]:
    """For height and width, what a pool's windows cover before and beyond the input.

    with_padding  count the padding as not there; else: what they cover beyond the padding.
    """
    found = []
    pads, strides = use.ints("padding"), use.ints("strides", 1)
    dilations = use.ints("dilations", 1)
    out = use.outputs[0][1]
    for index, axis in enumerate(use.spatial):
        length = evaluate(use.input(0).shape[axis], {})
        windows = use.attrs.get("windowDimensions")
        window = windows[index] if isinstance(windows, tuple) else length
        assert isinstance(window, int), f"{windows=}"
        covered = (evaluate(out[axis], {}) - 1) * strides[index]
        covered += (window - 1) * dilations[index] + 1
        begin, end = pads[2 * index], pads[2 * index + 1]
        beyond = covered - length - begin
        found.append((begin, max(beyond, 0)) if with_padding else (0, max(beyond - end, 0)))
    return found


def dilated(use: Use) -> bool:
    """Whether `dilations` has another number than 1."""
    return any(each != 1 for each in use.ints("dilations", 1))


def ties(use: Use) -> bool:
    """Whether nearest-neighbour resampling meets a point halfway between two elements."""
    if use.attrs.get("mode", "nearest-neighbor") != "nearest-neighbor":
        return False
    for old, new in zip(use.input(0).shape, use.outputs[0][1], strict=True):
        before, after = evaluate(old, {}), evaluate(new, {})
        # (i + 1/2)·before/after - 1/2 = n + 1/2 for some i
        if before != after and any((2 * i + 1) * before % (2 * after) == 0 for i in range(after)):
            return True
    return False


GUARDS: tuple[Guard, ...] = (
    Guard("averagePool2d", "padding counts as elements in this browser's average",
          lambda use: padded(use) or overhangs(use), 147),
    Guard("averagePool2d", "this browser's pools have no dilations", dilated, 147),
    Guard("maxPool2d", "beyond the end this browser's maximum takes 0", overhangs, 147),
    Guard("maxPool2d", "this browser's pools have no dilations", dilated, 147),
    Guard("l2Pool2d", "this browser's pools have no dilations", dilated, 147),
    Guard("convTranspose2d", "padding gives zeros in this browser", padded, 147),
    Guard("convTranspose2d", "this browser has no dilations here", dilated, 147),
    Guard("convTranspose2d", "this browser has no groups here",
          lambda use: use.attrs.get("groups", 1) != 1, 147),
    Guard("pad", "this browser has no edge padding",
          lambda use: use.attrs.get("mode") == "edge", 147),
    Guard("scatterElements", "this browser wants constant indices",
          lambda use: use.constant(1) is None, 147),
    Guard("resample2d", "halfway between two elements this browser takes the larger index",
          ties, 147),
)  # fmt: skip
