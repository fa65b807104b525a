"""Kernels that read and write through functions, so that one kernel can do the work of several.

A kernel, written or generated, reads operand `x` by `x(i)`, `i` being the flat row-major index,
and stores by `put(i, v)`. Here these functions are made. `x(i)` may load from memory, unpack
4-bit integers, be a constant, or compute the element by the *pointwise* operators that made it;
`put` may apply the element-wise operators that follow. What is joined never exists in memory.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence

from ...dtypes import DType
from ...graph.graph import Node, Value
from ...ops.base import OPS
from ...plan.plan import Binding, Count, Size
from .defer import MAX_BUFFERS, is_scalar, leaves, scalar, settled
from .emit import Arg, Program, elements, n_elements, per
from .index import wgsl_size
from .storage import storage
from .template import Literal
from .weights import Weights

MAX_FOLLOWERS = 24  # keeps a kernel's text short

#: The body of a function of `i: u32` that returns an element of output `k` of a node.
Pointwise = Callable[["Access", Node, int], str]
POINTWISE: dict[str, Pointwise] = {}


class Access:
    """One kernel in the making: its bindings and the functions over them.

    `kernel` names the file in kernels/, or the generated kernel.
    """

    def __init__(self, p: Program, w: Weights, node: Node, kernel: str) -> None:
        self.p, self.w, self.node, self.kernel = p, w, node, kernel
        self._args: list[Arg] = []
        self._text: list[str] = []
        self._functions: dict[str, str] = {}
        self._defined: set[str] = set()
        self._given: dict[str, str] = {}  # values that `write` has at hand -> their variables

    def value(self, name: str | None) -> Value:
        """A value of the graph."""
        return self.p.value(name)

    def compute(self, name: str | None) -> str:
        """The WGSL type that a value's elements are computed in."""
        return storage(self.value(name).dtype, packed=False, half=self.p.half).compute

    def read(self, function: str, name: str | None) -> None:
        """Make `fn function(i: u32)` give the elements of a value, and the alias T_function."""
        kind = self.compute(name)
        inner = self.source(name)
        self._text += [
            f"alias T_{function} = {kind};",
            f"fn {function}(i: u32) -> {kind} {{ return {inner}(i); }}",
        ]

    def source(self, name: str | None) -> str:
        """The name of a function that gives the elements of a value."""
        assert name is not None, "an operand that must be there is not"
        root = self.p.root(name)
        if root not in self._functions:
            body = self._body(root)
            function = self._functions[root] = f"v{len(self._functions)}"
            self._text.append(f"fn {function}(i: u32) -> {self.compute(root)} {{ {body} }}")
        return self._functions[root]

    def element(self, name: str | None, at: str) -> str:
        """The expression for the element of a value at flat index `at`."""
        return self._given.get(name or "") or f"{self.source(name)}({at})"

    def _body(self, root: str) -> str:
        if root in self.p.deferred:
            node, k = self.p.deferred[root]
            return POINTWISE[node.op](self, node, k)
        if root in self.p.shared.slot_inputs:
            return f"return slot.{root}[i / 4u][i % 4u];"
        constant = self.p.graph.constants.get(root)
        if constant is not None and is_scalar(constant):
            return f"return {self.literal(constant.value.dtype, scalar(constant))};"
        operand = root if constant is None else self.w.plain(constant)
        form = self.p.storage(root)
        array = self._bind("read", form.element, operand)
        return f"return {form.load.format(a=array, i='i')};"

    def _bind(self, access: str, element: str, operand: str | Binding) -> str:
        name = f"b{len(self._args)}"
        self._args.append(Arg(name, access, element, operand))
        return name

    def place(
        self, name: str, element: str, operand: str | Binding, *, access: str = "write"
    ) -> None:
        """Bind memory, or a temporary, as an array called `name`."""
        self._args.append(Arg(name, access, element, operand))

    def literal(self, dtype: DType, number: float) -> str:
        """A number as a WGSL expression of the type that `dtype` is computed in."""
        if not dtype.is_float and not math.isfinite(number):
            number = limit(dtype, number > 0)
        if dtype.bits == 64:
            return f"vec2u({int(number) & 0xFFFFFFFF}u, {int(number) >> 32 & 0xFFFFFFFF}u)"
        if not dtype.is_float:
            kind = storage(dtype, packed=False, half=False).compute
            return f"{kind}({int(number)})" if number != -(2**31) else "(-2147483647i - 1i)"
        if math.isfinite(number):
            return f"f32({float(number)!r})"
        bits = struct.unpack("<I", struct.pack("<f", number))[0]
        return f"from_bits_f32({bits}u)"

    def define(self, name: str, text: str) -> None:
        """Add a function of the kernel's own, once."""
        if name not in self._defined:
            self._defined.add(name)
            self._text.insert(0, text)

    def write(self, function: str, name: str, *, fuse: bool = True) -> str:
        """Make `fn function(i: u32, v)` store a value, after the element-wise operators that
        alone read it. Gives the name of the value that is stored in the end."""
        lines = ["let e0 = v;"]
        made = {name: "e0"}
        for node in self._followers(name) if fuse else ():
            y, inner, var = node.outputs[0], f"e{len(made)}_{function}", f"e{len(made)}"
            taken = [each for each in made if each in node.inputs]
            self._given = {each: made[each] for each in taken}
            text = POINTWISE[node.op](self, node, 0)
            self._given = {}
            params = "".join(f", {made[each]}: {self.compute(each)}" for each in taken)
            self._text.append(f"fn {inner}(i: u32{params}) -> {self.compute(y)} {{ {text} }}")
            lines.append(f"let {var} = {inner}(i{''.join(f', {made[each]}' for each in taken)});")
            made[y] = var
            self.p.note(node, f"did apply it where {self.kernel} stores")
        if len(made) > 1:
            self.p.absorbed.update(made)
        stored = list(made)[-1]
        form = storage(self.value(stored).dtype, packed=False, half=self.p.half)
        array = self._bind("write", form.element, stored)
        lines.append(form.store.format(a=array, i="i", v=made[stored]))
        kind = self.compute(name)
        self._text += [
            f"alias T_{function} = {kind};",
            f"fn {function}(i: u32, v: {kind}) {{ {' '.join(lines)} }}",
        ]
        return stored

    def _followers(self, name: str) -> list[Node]:
        """The element-wise nodes that can be done where `name` is made, in order: of all values
        on the way, nothing else reads any but the last."""
        p = self.p
        found: list[Node] = []
        made, whole = {name}, 0
        new: set[str] = set()
        while not made & p.results and len(found) < MAX_FOLLOWERS:
            node = next(iter(p.readers(made)), None)
            if node is None or not self._joins(node, name, made):
                break
            others = [each for each in node.inputs if each and each not in made]
            new |= {leaf for each in others for leaf in leaves(p, each)} - self._functions.keys()
            if len(self._args) + len(new) >= MAX_BUFFERS:
                break
            found.append(node)
            inner = frozenset(made)
            made.add(node.outputs[0])
            if all(reader.outputs[0] in made for reader in p.readers(inner)):
                whole = len(found)
        return found[:whole]

    def _joins(self, node: Node, name: str, made: set[str]) -> bool:
        """Whether a reader of `made` computes element by element what is like `name`."""
        p = self.p
        y = p.value(node.outputs[0])
        if node.op not in POINTWISE or OPS[node.op].wgsl is None:
            return False
        if y.shape != p.value(name).shape or y.dtype.bits == 64:
            return False
        return all(settled(p, each) for each in node.inputs if each and each not in made)

    def run(
        self,
        groups: Sequence[Size | Count],
        *,
        dims: Mapping[str, Size] | None = None,
        consts: Mapping[str, Literal] | None = None,
        flags: Mapping[str, bool] | None = None,
        body: str | None = None,
    ) -> None:
        """Add the dispatch."""
        half = any(arg.element == "f16" for arg in self._args)
        self.p.emit(
            self.kernel, self.node, self._args, groups, flags=flags, consts=consts, dims=dims,
            types={"Half": "f16"} if half else None, functions=self._text, body=body,
        )  # fmt: skip

    def run_each(self, size: Size, body: str, *, n_threads: int = 64) -> None:
        """Add a dispatch with one thread for each of `size`, its number being `i` in `body`."""
        limit = self.p.shared.facts.limits["maxComputeWorkgroupsPerDimension"]
        row = limit * n_threads
        groups: list[Size | Count] = [per(size, n_threads)]
        if n_elements(size if isinstance(size, tuple) else (size,)) > row:
            groups = [limit, per(size, row)]
        main = f"""
@compute @workgroup_size({n_threads})
fn main(@builtin(global_invocation_id) id: vec3u) {{
  let i = id.x + id.y * {row}u;
  if (i >= {wgsl_size(size)}) {{ return; }}  // the last workgroup
  {body}
}}"""
        self.run(groups, body=main)


def limit(dtype: DType, highest: bool) -> int:
    """The largest or smallest number of an integer type."""
    signed = not dtype.value.startswith("u")
    top = 1 << (dtype.bits - signed)
    return top - 1 if highest else -top if signed else 0


def emit_pointwise(p: Program, w: Weights, node: Node, k: int) -> None:
    """A kernel of its own for output `k` of a pointwise node."""
    name = node.outputs[k]
    access = Access(p, w, node, node.op)
    kind = access.compute(name)
    body = POINTWISE[node.op](access, node, k)
    access.define("made", f"fn made(i: u32) -> {kind} {{ {body} }}")
    access.write("put", name)
    access.run_each(elements(p.value(name).shape), "put(i, made(i));")
