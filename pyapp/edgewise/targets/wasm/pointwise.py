"""Element-wise rows on Wasm: a row's WGSL expression becomes instructions of the tile interpreter.

float16 is computed in float32 and rounded after each operator, integers of 8 and 4 bits in 32 and
cut back to their range: in a chain as between steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from ...dtypes import DType
from ...graph.graph import Constant, Node
from ...ops.base import OPS
from ...ops.precision import limits, number
from .emit import Program
from .expression import Call, Name, Number, Tree, parse
from .opcodes import BOOL, COMPUTED, is_wide, opcode
from .tiles import Reg, Tile, instruction

#: What a node computes, given the registers of its inputs.
Pointwise = Callable[[Tile, Node, tuple[Reg | None, ...]], Reg]

EXACT = frozenset({
    "abs", "ceil", "floor", "max", "min", "relu", "clamp", "where", "roundEven", "sign",
})  # fmt: skip
SWAPPED = {"gt": "lt", "ge": "le"}
COMPARISONS = frozenset({"eq", "lt", "le", "is_nan", "is_infinite", "is_negative"})


def row(t: Tile, node: Node, inputs: tuple[Reg | None, ...]) -> Reg:
    """A row's own expression."""
    spec = OPS[node.op]
    given = {port.name: reg for port, reg in zip(spec.inputs, inputs, strict=True) if reg}
    kind = next(reversed(given.values())).kind
    own = opcode(node.op, kind)
    if own is not None and not spec.attrs:
        return t.apply(own, kind, *given.values())
    for param in spec.attrs:
        given[param.name] = t.constant(kind, cast(float, node.attrs.get(param.name, param.default)))
    assert spec.wgsl is not None, f"not an element-wise row {node.op=}"
    made = _walk(t, parse(spec.wgsl), given, kind)
    assert isinstance(made, Reg), f"a number alone {node.op=}"
    return made


def _walk(t: Tile, tree: Tree, given: Mapping[str, Reg], kind: str) -> Reg | Number:
    """The register of a tree's result; numbers have no type until they meet another operand."""
    if isinstance(tree, Number):
        return tree
    if isinstance(tree, Name):
        return given[tree.name]
    args = [_walk(t, each, given, kind) for each in tree.args]
    if tree.name == "T":
        return _typed(t, args[0], kind)
    if tree.name == "select":
        return _select(t, args, kind)
    common = next((arg.kind for arg in args if isinstance(arg, Reg)), kind)
    return _call(t, tree, [_typed(t, arg, common) for arg in args], common)


def _typed(t: Tile, arg: Reg | Number, kind: str) -> Reg:
    return t.constant(kind, arg.value) if isinstance(arg, Number) else arg


def _select(t: Tile, args: list[Reg | Number], kind: str) -> Reg:
    """WGSL's select(no, yes, condition)."""
    no, yes, condition = args
    assert isinstance(condition, Reg), "a condition is computed"
    if isinstance(no, Number) and isinstance(yes, Number):
        assert (no.value, yes.value) == (0, 1), "rows select between 0 and 1"
        return t.apply("one_u32", "u32", condition)
    common = next((arg.kind for arg in (no, yes) if isinstance(arg, Reg)), kind)
    name = "select_u64" if is_wide(common) else "select_u32"
    return t.apply(name, common, _typed(t, no, common), _typed(t, yes, common), condition)


def _call(t: Tile, tree: Call, args: list[Reg], kind: str) -> Reg:
    name = tree.name
    if name in SWAPPED:
        name, args = SWAPPED[name], args[::-1]
    if name == "ne":
        if kind == BOOL:
            return t.apply("xor_u32", BOOL, *args)
        return t.apply("not_u32", BOOL, t.apply(instruction("eq", kind), BOOL, *args))
    if name == "is_negative" and kind != "f32":
        return t.apply(instruction("lt", kind), BOOL, args[0], t.constant(kind, 0))
    if name == "clamp" and kind != "f32":
        least = t.apply(instruction("max", kind), kind, args[0], args[1])
        return t.apply(instruction("min", kind), kind, least, args[2])
    made = BOOL if name in COMPARISONS else kind
    return t.apply(instruction(name, kind), made, *args)


def clamp(t: Tile, node: Node, inputs: tuple[Reg | None, ...]) -> Reg:
    """Between two numbers; one that is absent or NaN limits nothing."""
    (x,) = cast(tuple[Reg], inputs)
    dtype = t.p.value(node.inputs[0]).dtype
    low, high = (node.attrs.get(name) for name in ("minValue", "maxValue"))
    ends = (float("-inf"), float("inf")) if dtype.is_float else limits(dtype)
    bounds = [
        t.constant(
            x.kind, end if each is None or each != each else number(cast(float, each), dtype)
        )
        for each, end in zip((low, high), ends, strict=True)
    ]
    return _call(t, Call("clamp", ()), [x, *bounds], x.kind)


def cast_(t: Tile, node: Node, inputs: tuple[Reg | None, ...]) -> Reg:
    """To another data type: floats are truncated and clamped, integers keep their lowest bits."""
    (x,) = cast(tuple[Reg], inputs)
    return converted(t, x, cast(DType, node.attrs["dataType"]))


def converted(t: Tile, x: Reg, dtype: DType) -> Reg:
    """A register in the type that `dtype` is computed in, in its range."""
    to = COMPUTED[dtype]
    if x.kind == "f32" and not dtype.is_float:
        if dtype.bits <= 8:
            low, high = (t.constant("f32", end) for end in limits(dtype))
            x = t.apply("clamp_f32", "f32", x, low, high)
        return t.apply(f"{to}_of_f32", to, x)
    if to == "f32":
        return x if x.kind == "f32" else t.apply(f"f32_of_{x.kind}", "f32", x)
    if is_wide(to) and not is_wide(x.kind):
        x = t.apply(f"i64_of_{x.kind}", to, x)
    elif is_wide(x.kind) and not is_wide(to):
        x = t.apply("i32_of_i64", to, x)
    return cut(t, Reg(x.index, to), dtype)


def cut(t: Tile, x: Reg, dtype: DType) -> Reg:
    """An integer of 8 or 4 bits back in its range; any other as it is."""
    if dtype.bits > 8:
        return x
    return t.apply(f"{dtype.value}_{COMPUTED[dtype]}", COMPUTED[dtype], x)


def rounded(t: Tile, node: Node, made: Reg) -> Reg:
    """What a step would read that comes after one that stored `made`."""
    dtype = t.p.value(node.outputs[0]).dtype
    if made.kind == BOOL or node.op in EXACT:
        return made
    if dtype is DType.FLOAT16:
        return t.apply("half_f32", "f32", made)
    return cut(t, made, dtype)


#: Every operator that is computed element by element.
POINTWISE: dict[str, Pointwise] = {
    **{name: row for name, spec in OPS.items() if spec.wgsl is not None and name != "identity"},
    "clamp": clamp,
    "cast": cast_,
}


def single(p: Program, name: str) -> Constant | None:
    """The constant that a value is, if it is one number that a program can hold."""
    constant = p.graph.constants.get(name)
    if constant is None or constant.data is None or constant.value.dtype.bits < 8:
        return None
    return constant if len(constant.data) == constant.value.dtype.bits // 8 else None
