"""What browsers' WebNN takes and then gets wrong, or refuses when the graph is built.

A row says what is wrong and in which browsers. tests/targets/webnn_guards.py has the smallest graph
that shows it: when the browser gets that right by itself (e2e/test_webnn.py asks it), the row gets
its last version, `fixed`, and can go when that is old.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...dims import evaluate
from ...dtypes import DType
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

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of a pool's window, without dilations, or of a filter."""
        layout = self.attrs.get("filterLayout")
        if layout is None:
            sizes = self.attrs.get("windowDimensions")
            all_of_it = tuple(self.input(0).shape[axis] for axis in self.spatial)
            height, width = sizes if isinstance(sizes, tuple) else all_of_it
        else:
            assert isinstance(layout, str), f"{layout=}"
            height, width = (self.input(1).shape[layout.index(letter)] for letter in "hw")
        assert isinstance(height, int), f"{height=}"
        assert isinstance(width, int), f"{width=}"
        return height, width


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


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a pool or a convolution along one axis of `length` elements.

    window  with its dilations
    before  elements that the first window covers before the input, `beyond` the last after it
    same    whether its padding is TFLite's SAME, the one that its pools know besides none
    """

    length: int
    window: int
    stride: int
    count: int
    before: int
    beyond: int
    same: bool

    def there(self) -> list[int]:
        """For each window, how many of its elements are there."""
        starts = [index * self.stride - self.before for index in range(self.count)]
        return [min(start + self.window, self.length) - max(start, 0) for start in starts]


def windows(use: Use) -> tuple[Windows, Windows]:
    """A pool's or a convolution's windows along height and width."""
    return _along(use, 0), _along(use, 1)


def _along(use: Use, index: int) -> Windows:
    axis = use.spatial[index]
    length = evaluate(use.input(0).shape[axis], {})
    window = (use.window[index] - 1) * use.ints("dilations", 1)[index] + 1
    stride, count = use.ints("strides", 1)[index], evaluate(use.outputs[0][1][axis], {})
    before, after = use.ints("padding")[2 * index : 2 * index + 2]
    total = max((count - 1) * stride + window - length, 0)
    same = (before, after) == (total // 2, total - total // 2) and count == -(-length // stride)
    # what is not covered is not padding, and what is covered beyond the padding is
    beyond = max((count - 1) * stride + window - length - before, 0)
    return Windows(length, window, stride, count, before, beyond, same)


def reaches_out(use: Use) -> bool:
    """Whether a pool's windows reach beyond the input, otherwise than SAME has it."""
    return padding_counts(use) and not all(each.same for each in windows(use))


def reaches_out_as_same(use: Use) -> bool:
    """Whether a pool's windows reach beyond the input as SAME has it."""
    return padding_counts(use) and all(each.same for each in windows(use))


def strides_over(use: Use) -> bool:
    """Whether windows have SAME's padding and leave elements at the end of an axis out."""
    return reaches_out_as_same(use) and any(
        (each.count - 1) * each.stride + each.window < each.length for each in windows(use)
    )


def padding_counts(use: Use) -> bool:
    """Whether windows reach beyond the input."""
    return any(each.before or each.beyond for each in windows(use))


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


def peeps_as_ifgo(use: Use) -> bool:
    """Whether there are peephole weights in the layout ifgo."""
    names = [row.name for row in use.op.inputs]
    peeps = use.inputs[names.index("peepholeWeight")] is not None
    return peeps and use.attrs.get("layout") == "ifgo"


GUARDS: tuple[Guard, ...] = (
    Guard("conv2d", "with SAME's padding and a stride beyond the filter this browser gives zeros",
          strides_over, 147),
    Guard("averagePool2d", "padding counts as elements in this browser's average",
          reaches_out, 147),
    Guard("averagePool2d", "this browser's pools have no dilations", dilated, 147),
    Guard("maxPool2d", "padding counts as 0 in this browser's maximum", reaches_out, 147),
    Guard("maxPool2d", "this browser's pools have no dilations", dilated, 147),
    Guard("l2Pool2d", "with SAME's padding this browser's norm is off",
          reaches_out_as_same, 147),
    Guard("l2Pool2d", "this browser's pools have no dilations", dilated, 147),
    Guard("convTranspose2d", "padding gives zeros in this browser", padded, 147),
    Guard("convTranspose2d", "this browser has no dilations here", dilated, 147),
    Guard("convTranspose2d", "this browser has no groups here",
          lambda use: use.attrs.get("groups", 1) != 1, 147),
    Guard("pad", "this browser has no edge padding",
          lambda use: use.attrs.get("mode") == "edge", 147),
    *(
        Guard(op, "this browser wants constant indices", lambda use: use.constant(1) is None, 147)
        for op in ("gatherElements", "scatterElements")
    ),
    *(
        Guard(op, "this browser has no room for uint32 here",
              lambda use: use.input(0).dtype is DType.UINT32, 147)
        for op in ("scatterElements", "scatterND")
    ),
    *(
        Guard(op, "indices of rank 5 end this browser's WebNN process",
              lambda use: len(use.input(1).shape) > 4, 147)
        for op in ("gatherND", "scatterND")
    ),
    *(
        Guard(op, "in this browser peepholes want the layout iofg", peeps_as_ifgo, 147)
        for op in ("lstm", "lstmCell")
    ),
    Guard("resample2d", "halfway between two elements this browser takes the larger index",
          ties, 147),
)  # fmt: skip
