"""One layout for images: channels before rows and columns, filters by output channel first.

A target then needs kernels for `nchw`, `oihw` (`iohw` where the convolution is transposed) and
the last two axes alone. What the change costs, transposes, is pushed down through element-wise
operators until two of them cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any, TypeAlias

from ..dims import evaluate
from ..graph.builder import GraphBuilder
from ..graph.graph import Attr, Graph, Node, Value
from ..ops import OPS
from ..ops.window import permutation
from .base import Note, PassResult
from .clean import clean

Order: TypeAlias = tuple[int, ...]
Values: TypeAlias = "list[Value | None]"

#: operator -> the attribute with its images' layout
IMAGES = {
    "conv2d": "inputLayout", "convTranspose2d": "inputLayout", "averagePool2d": "layout",
    "l2Pool2d": "layout", "maxPool2d": "layout", "instanceNormalization": "layout",
}  # fmt: skip
FILTERS = {"conv2d": "oihw", "convTranspose2d": "iohw"}


def layout(graph: Graph) -> PassResult:
    """Give every operator on images the canonical layout, and cancel the transposes that meet.

        y: float32[1, 8, 8, 4] = conv2d(x, w, _) {filterLayout="ohwi", inputLayout="nhwc", …}
        z: float32[1, 8, 8, 4] = relu(y)
        ->
        transpose_1: float32[1, 3, 8, 8] = transpose(x) {permutation=[0, 3, 1, 2]}
        conv2d_1: float32[1, 4, 8, 8] = conv2d(transpose_1, constant_1, _) {filterLayout="oihw", …}
        relu_1: float32[1, 4, 8, 8] = relu(conv2d_1)
        transpose_2: float32[1, 8, 8, 4] = transpose(relu_1) {permutation=[0, 2, 3, 1]}

    Filters that are inline constants are transposed here; for others a `transpose` of the
    constant is left to constant folding. In graphs with images, transposes move below element-wise
    operators, `concat`, `softmax` and `batchNormalization`; one with several readers may become
    several. Nothing moves past an update of the state that it reads. Values do not change: the
    same sums, in the layout's order. One walk over the nodes.
    """
    work = _Arranger.continuing(graph)
    work.images = any(node.op in IMAGES or node.op == "resample2d" for node in graph.nodes)
    work.fixed = {*graph.states}
    new: dict[str, str] = {}
    for node in graph.nodes:
        inputs = tuple(None if name is None else new.get(name, name) for name in node.inputs)
        with work.scope(node.origin):
            value = work.arrange(replace(node, inputs=inputs))
        if value is not None:
            new[node.outputs[0]] = value.name
    if not any(note.text.startswith("did") for note in work.notes):
        return PassResult(graph, False, tuple(work.notes))
    outputs, updates = (work.results(names, new) for names in (graph.outputs, graph.updates))
    out = clean(replace(work.collect(), outputs=outputs, updates=updates)).graph
    return PassResult(out, True, tuple(work.notes))


class _Arranger(GraphBuilder):
    """A builder that knows which of its values are transposes, of what."""

    images = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.notes: list[Note] = []
        self.fixed: set[str] = set()  # states and their versions: to be read where they are
        self._made: dict[str, tuple[Value, Order]] = {}  # value -> what it is a transpose of
        self._known: dict[tuple[str, Order], Value] = {}

    def arrange(self, node: Node) -> Value | None:
        """Add `node`, as it is (None), or in another form whose value takes its output's place."""
        values = [None if name is None else self._values[name] for name in node.inputs]
        rule = _rule(node, self.images)
        value = None if rule is None else rule(self, node, values)
        if value is not None:
            return value
        self.adopt(node)
        if OPS[node.op].in_place:
            self.fixed.update(node.outputs)
        if node.op == "transpose" and node.inputs[0] not in self.fixed and values[0] is not None:
            order = _order(node, values[0])
            self._made[node.outputs[0]] = values[0], order
            self._known[values[0].name, order] = self._values[node.outputs[0]]
        return None

    def source(self, value: Value | None) -> tuple[Value, Order] | None:
        """What `value` is a transpose of, and how."""
        return None if value is None else self._made.get(value.name)

    def turned(self, value: Value, order: Order) -> Value:
        """`value` transposed: a constant's bytes, what it was before, or a new node."""
        root, before = self._made.get(value.name, (value, tuple(range(len(order)))))
        total = tuple(before[axis] for axis in order)
        if total == tuple(range(len(total))):
            return root
        if (root.name, total) in self._known:
            return self._known[root.name, total]
        data = self.inline(root)
        if data is not None:
            made = self.constant(
                root.dtype, [root.shape[axis] for axis in total],
                data=_permuted(data, [evaluate(dim, {}) for dim in root.shape], total),
            )  # fmt: skip
        else:
            made = self.transpose(root, permutation=total)
            if root.name not in self.fixed:
                self._made[made.name] = root, total
        self._known[root.name, total] = made
        return made

    def inline(self, value: Value) -> bytes | None:
        """The bytes of an inline constant of whole bytes an element."""
        constant = self._constants.get(value.name)
        return None if constant is None or value.dtype.bits < 8 else constant.data

    def did(self, node: Node, text: str) -> None:
        """Note what was done at `node`."""
        self.notes.append(Note("layout", node.origin, f"did {text}"))

    def declined(self, node: Node, because: str) -> None:
        """Note why nothing was done at `node`."""
        self.notes.append(Note("layout", node.origin, f"declined because {because}"))

    def results(self, names: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
        """The values that are results now; an input does not become one without an operator."""
        found = {public: new.get(name, name) for public, name in names.items()}
        given = {*self._inputs, *self._states, *self._constants}
        for public, name in found.items():
            if name in given and name != names[public]:
                found[public] = self.identity(self._values[name]).name
        return found


Rule: TypeAlias = Callable[[_Arranger, Node, Values], "Value | None"]


def _rule(node: Node, images: bool) -> Rule | None:
    if node.op in IMAGES:
        return _canonical
    if node.op == "resample2d":
        return _last_axes
    if node.op == "transpose":
        return _joined
    if images and node.op == "concat":
        return _concat_below
    if images and node.op in ("softmax", "batchNormalization"):
        return _axis_below
    if images and OPS[node.op].wgsl is not None and len(node.outputs) == 1:
        return _element_wise_below
    return None


def _canonical(work: _Arranger, node: Node, values: Values) -> Value | None:
    """nhwc images and filters in other orders."""
    attr, (image, *rest) = IMAGES[node.op], values
    given, attrs = str(node.attrs[attr]), dict(node.attrs)
    assert image is not None
    if given != "nchw":
        image, attrs[attr] = work.turned(image, permutation(given, "nchw")), "nchw"
    if node.op in FILTERS and attrs["filterLayout"] != FILTERS[node.op]:
        wanted, weight = FILTERS[node.op], rest[0]
        assert weight is not None
        rest[0] = work.turned(weight, permutation(str(attrs["filterLayout"]), wanted))
        attrs["filterLayout"] = wanted
    if attrs == node.attrs:
        return None
    work.did(node, f"bring {node.op} to {', '.join(_layouts(attrs))}")
    out: Value = work.apply(OPS[node.op], [image, *rest], attrs)
    return out if given == "nchw" else work.turned(out, permutation("nchw", given))


def _layouts(attrs: Mapping[str, Attr]) -> list[str]:
    return [str(attr) for name, attr in attrs.items() if name.lower().endswith("layout")]


def _last_axes(work: _Arranger, node: Node, values: Values) -> Value | None:
    """resample2d over the last two axes, in their order."""
    axes: Any = node.attrs["axes"]
    if axes == (2, 3):
        return None
    (image,) = values
    assert image is not None
    swapped = axes[0] > axes[1]
    attrs = {
        name: attr[::-1] if swapped and name in ("sizes", "scales") else attr  # type: ignore[index]
        for name, attr in node.attrs.items()
    } | {"axes": (2, 3)}
    order = (*(axis for axis in range(4) if axis not in axes), *sorted(axes))
    work.did(node, "bring resample2d to the last two axes")
    out: Value = work.apply(OPS[node.op], [work.turned(image, order)], attrs)
    return work.turned(out, _inverse(order))


def _joined(work: _Arranger, node: Node, values: Values) -> Value | None:
    """A transpose of a transpose, one that is there already, or one that moves nothing."""
    (value,) = values
    assert value is not None
    order = _order(node, value)
    known = (value.name, order) in work._known
    if work.source(value) is None and not known and order != tuple(range(len(order))):
        return None
    work.did(node, "cancel or join transposes")
    return work.turned(value, order)


def _concat_below(work: _Arranger, node: Node, values: Values) -> Value | None:
    """concat(transpose(a), transpose(b)) -> transpose(concat(a, b))"""
    sources = [work.source(value) for value in values]
    orders = {source[1] for source in sources if source is not None}
    if None in sources or len(orders) != 1:
        return None
    (order,) = orders
    roots = [source[0] for source in sources if source is not None]
    axis: Any = node.attrs["axis"]
    work.did(node, "move transposes below concat")
    return work.turned(work.concat(roots, axis=order[axis]), order)


def _axis_below(work: _Arranger, node: Node, values: Values) -> Value | None:
    """f(transpose(a), vectors) {axis} -> transpose(f(a, vectors) {another axis})"""
    source = work.source(values[0])
    if source is None:
        return None
    root, order = source
    axis: Any = node.attrs["axis"]
    work.did(node, f"move a transpose below {node.op}")
    attrs = {**node.attrs, "axis": order[axis]}
    return work.turned(work.apply(OPS[node.op], [root, *values[1:]], attrs), order)


def _element_wise_below(work: _Arranger, node: Node, values: Values) -> Value | None:
    """f(transpose(a), transpose(b), vector) -> transpose(f(a, b, vector in another shape))"""
    sources = [work.source(value) for value in values]
    orders = {source[1] for source in sources if source is not None}
    if not orders:
        return None
    order = min(orders)
    moved: Values = []
    for value, source in zip(values, sources, strict=True):
        part = source[0] if source is not None and source[1] == order else value
        if part is not None and (source is None or source[1] != order):
            if not _movable(work, part, len(order)):
                work.declined(node, f"{part.name!r} is not transposed as the other inputs are")
                return None
            part = _moved(work, part, order)
        moved.append(part)
    work.did(node, f"move transposes below {node.op}")
    return work.turned(work.apply(OPS[node.op], moved, dict(node.attrs)), order)


def _movable(work: _Arranger, value: Value, rank: int) -> bool:
    long = sum(dim != 1 for dim in value.shape)
    return len(value.shape) <= rank and (long <= 1 or work.inline(value) is not None)


def _moved(work: _Arranger, value: Value, order: Order) -> Value:
    """`value`, which is broadcast to a transpose by `order`, in the order before it."""
    if not value.shape:
        return value
    whole = (*(1,) * (len(order) - len(value.shape)), *value.shape)
    shape = tuple(whole[axis] for axis in _inverse(order))
    if sum(dim != 1 for dim in shape) > 1:
        return work.turned(_reshaped(work, value, whole), _inverse(order))
    return _reshaped(work, value, shape)


def _reshaped(work: _Arranger, value: Value, shape: Sequence[Any]) -> Value:
    data = work.inline(value)
    if tuple(shape) == value.shape:
        return value
    made: Value = (
        work.reshape(value, shape) if data is None
        else work.constant(value.dtype, shape, data=data)
    )  # fmt: skip
    return made


def _order(node: Node, value: Value) -> Order:
    given: Any = node.attrs.get("permutation")
    return tuple(given) if given is not None else tuple(range(len(value.shape)))[::-1]


def _inverse(order: Order) -> Order:
    return tuple(order.index(axis) for axis in range(len(order)))


def _permuted(data: bytes, shape: Sequence[int], order: Order) -> bytes:
    """The bytes of an array after a transposition, without NumPy."""
    if not data:
        return data
    size = len(data) // prod(shape)
    strides = [prod(shape[axis + 1 :]) * size for axis in range(len(shape))]
    starts = product(*(range(0, shape[axis] * strides[axis], strides[axis]) for axis in order))
    return b"".join([data[sum(at) : sum(at) + size] for at in starts])
