"""Formulas that exporters spell out in small operators, as the operator that they are.

One function a formula. Each matches backwards from its last node and fires only where nothing
outside reads an intermediate value. The values change by rounding alone: the operator computes
the same formula in one go.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import cast

from ..graph.graph import Graph, Node
from .base import PassResult
from .numbers import is_number, number
from .rewrite import Rewriter


def recognise(graph: Graph) -> PassResult:
    """Run all rules once."""
    work = Rewriter(graph)
    for rule in (layer_normalization, rms_norm, gelu):
        rule(work)
    return PassResult(work.result(), work.changed, tuple(work.notes))


def layer_normalization(work: Rewriter) -> None:
    """(x - mean) / sqrt(variance + epsilon), and the scale and bias that follow.

    m = reduceMean(x);  d = sub(x, m);  v = reduceMean(pow(d, 2));  y = div(d, sqrt(add(v, eps)))
    z = mul(y, scale);  out = add(z, bias)
    ->
    out = layerNormalization(x, scale, bias) {axes, epsilon}
    """
    rule = "layer normalization"
    for _, div in work.positions("div"):
        root = work.made_by(div.inputs[1], "sqrt")
        centred = work.made_by(div.inputs[0], "sub")
        if root is None or centred is None:
            continue
        found = _variance(work, root)
        mean = work.made_by(centred.inputs[1], "reduceMean")
        if found is None or mean is None:
            continue
        epsilon, average, squares, squared = found
        inner = [root, average, squares, centred, mean, *_adds(work, root)]
        if squared != div.inputs[0] or mean.inputs[0] != centred.inputs[0]:
            continue
        if mean.attrs != average.attrs or not _last_axes(work, mean):
            work.declined(rule, div, "it does not normalise the last axes")
            continue
        if not _closed(work, inner, div):
            work.declined(rule, div, "something else reads a value inside of it")
            continue
        axes = cast(tuple[int, ...], mean.attrs["axes"])
        last, scale, bias, gone = _affine(work, div, len(axes))
        inputs = (centred.inputs[0], scale, bias)
        made = Node("layerNormalization", inputs, last.outputs,
                    {"axes": axes, "epsilon": epsilon}, div.origin)  # fmt: skip
        work.replace(work.position(last), made, [*inner, *gone])
        work.did(rule, made, f"join {len(inner) + len(gone) + 1} operators")


def rms_norm(work: Rewriter) -> None:
    """x / sqrt(mean(x²) + eps) * weight over the last axis, in float32.

    y = div(x, sqrt(add(reduceMean(pow(x, 2)), eps)));  z = mul(y, weight)
    ->
    z = rmsNorm(x, weight) {eps}
    """
    rule = "rms norm"
    for _, div in work.positions("div"):
        root = work.made_by(div.inputs[1], "sqrt")
        found = None if root is None else _variance(work, root)
        if root is None or found is None:
            continue
        epsilon, average, squares, squared = found
        if squared != div.inputs[0]:
            continue
        last, scale, bias, gone = _affine(work, div, 1)
        rank = len(work.value(squared).shape)
        inner = [root, average, squares, *_adds(work, root)]
        if average.attrs.get("axes") != (rank - 1,) or not average.attrs.get("keepDimensions"):
            work.declined(rule, div, "it is not over the last axis")
        elif scale is None or bias is not None:
            work.declined(rule, div, "it has no weight, or a bias")
        elif not _closed(work, inner, div):
            work.declined(rule, div, "something else reads a value inside of it")
        elif work.value(scale).dtype != "float32":
            work.declined(rule, div, "its weight is not float32")
        else:
            made = Node("rmsNorm", (squared, scale), last.outputs, {"eps": epsilon}, div.origin)
            work.replace(work.position(last), made, [*inner, *gone])
            work.did(rule, made, f"join {len(inner) + len(gone) + 1} operators")


def _variance(work: Rewriter, root: Node) -> tuple[float, Node, Node, str] | None:
    """(epsilon, reduceMean, the square, what is squared) of sqrt(mean(x²) + epsilon)."""
    total = root.inputs[0]
    epsilon = 0.0
    for add in _adds(work, root):
        for index in (0, 1):
            constant = number(work.graph, add.inputs[1 - index])
            if constant is not None:
                total, epsilon = add.inputs[index], constant
    average = work.made_by(total, "reduceMean")
    if average is None:
        return None
    squares = work.made_by(average.inputs[0], "pow")
    if squares is not None and is_number(work.graph, squares.inputs[1], 2):
        return epsilon, average, squares, cast(str, squares.inputs[0])
    squares = work.made_by(average.inputs[0], "mul")
    if squares is not None and squares.inputs[0] == squares.inputs[1]:
        return epsilon, average, squares, cast(str, squares.inputs[0])
    return None


def _adds(work: Rewriter, root: Node) -> list[Node]:
    add = work.made_by(root.inputs[0], "add")
    return [] if add is None else [add]


def _last_axes(work: Rewriter, mean: Node) -> bool:
    axes = mean.attrs.get("axes")
    rank = len(work.value(cast(str, mean.inputs[0])).shape)
    if not isinstance(axes, tuple) or not mean.attrs.get("keepDimensions"):
        return False
    return axes == tuple(range(rank - len(axes), rank))


def _affine(
    work: Rewriter, norm: Node, n_axes: int
) -> tuple[Node, str | None, str | None, list[Node]]:
    """The multiplication by a scale and the addition of a bias that alone follow `norm`.

    Gives the last node of them, scale, bias, and the nodes that go.
    """
    x = work.value(norm.outputs[0])
    shape = x.shape[len(x.shape) - n_axes :]
    last, gone = norm, list[Node]()
    found: dict[str, str | None] = {"mul": None, "add": None}
    for op in ("mul", "add"):
        name = last.outputs[0]
        users = work.users(name)
        if len(users) != 1 or users[0].op != op or not work.private(name):
            break
        other = [each for each in users[0].inputs if each != name]
        if len(other) != 1 or other[0] not in work.graph.constants:
            break
        if work.value(cast(str, other[0])).shape != shape:
            break
        found[op] = other[0]
        gone.append(last)
        last = users[0]
    return last, found["mul"], found["add"], gone


def _closed(work: Rewriter, inner: Iterable[Node], last: Node) -> bool:
    """Whether only `inner` and `last` read what `inner` makes."""
    nodes = [*inner, last]
    for node in nodes[:-1]:
        for name in node.outputs:
            if name in work.results or any(user not in nodes for user in work.users(name)):
                return False
    return True


def gelu(work: Rewriter) -> None:
    """x · ½ · (1 + erf(x / √2)), in the orders that exporters write the products.

    e = erf(div(x, √2));  y = mul(mul(x, add(e, 1)), ½)    or    mul(mul(x, ½), add(e, 1))
    ->
    y = gelu(x)
    """
    rule = "gelu"
    for _, erf in work.positions("erf"):
        graph = work.graph
        scaled = work.made_by(erf.inputs[0], "div") or work.made_by(erf.inputs[0], "mul")
        if scaled is None:
            continue
        factor = sqrt(2) if scaled.op == "div" else sqrt(0.5)
        if not is_number(graph, scaled.inputs[1], factor):
            continue
        x = scaled.inputs[0]
        users = work.users(erf.outputs[0])
        if (
            len(users) != 1
            or users[0].op != "add"
            or not any(is_number(graph, each, 1) for each in users[0].inputs)
        ):
            continue
        one = users[0]
        outer = _product(work, x, one)
        if outer is None:
            work.declined(rule, erf, "1 + erf(x/√2) is not multiplied by x and ½")
            continue
        last, between = outer
        inner = [scaled, erf, one, *between]
        if not _closed(work, inner, last):
            work.declined(rule, erf, "something else reads a value inside of it")
            continue
        made = Node("gelu", (x,), last.outputs, {}, last.origin)
        work.replace(work.position(last), made, inner)
        work.did(rule, made, f"join {len(inner) + 1} operators")


def _product(work: Rewriter, x: str | None, one: Node) -> tuple[Node, list[Node]] | None:
    """The last node of x · ½ · one in any order, and the product inside of it."""
    users = work.users(one.outputs[0])
    if len(users) != 1 or users[0].op != "mul":
        return None
    first = users[0]
    other = next((each for each in first.inputs if each != one.outputs[0]), None)
    half = work.made_by(other, "mul")
    halved = half is not None and any(is_number(work.graph, n, 0.5) for n in half.inputs)
    if half is not None and halved and x in half.inputs:
        return first, [half]
    following = work.users(first.outputs[0])
    if len(following) != 1 or following[0].op != "mul":
        return None
    second = following[0]
    rest = next((each for each in second.inputs if each != first.outputs[0]), None)
    if other == x and is_number(work.graph, rest, 0.5):
        return second, [first]
    if is_number(work.graph, other, 0.5) and rest == x:
        return second, [first]
    return None
