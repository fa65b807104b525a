"""Element-wise rows on 64-bit integers, and conversions between the types of computing.

The functions are in kernels/int64.wgsl; a 64-bit integer is a vec2u of low and high word.
"""

from __future__ import annotations

from ...dtypes import DType

_SELECT = "select(0u, 1u, {})"

#: Operators that do the same to signed and unsigned integers.
_BOTH = {
    "add": "add64({a}, {b})",
    "sub": "sub64({a}, {b})",
    "mul": "mul64({a}, {b})",
    "pow": "pow64({a}, {b})",
    "equal": _SELECT.format("all({a} == {b})"),
    "notEqual": _SELECT.format("any({a} != {b})"),
    "where": "select({falseValue}, {trueValue}, {condition} != 0u)",
}

#: Those that compare or divide; `$` is the type.
_EACH = {
    "div": "div_$({a}, {b})",
    "max": "max_$({a}, {b})",
    "min": "min_$({a}, {b})",
    "greater": _SELECT.format("less_$({b}, {a})"),
    "greaterOrEqual": _SELECT.format("!less_$({a}, {b})"),
    "lesser": _SELECT.format("less_$({a}, {b})"),
    "lesserOrEqual": _SELECT.format("!less_$({b}, {a})"),
    "clamp": "min_$(max_$({input}, {minValue}), {maxValue})",
}

_SIGNED = {
    "abs": "abs64({input})",
    "neg": "neg64({input})",
    "sign": "sign64({input})",
    "relu": "max_i64({input}, vec2u(0u, 0u))",
    "prelu": "select({input}, mul64({input}, {slope}), negative64({input}))",
}

#: (operator, data type) -> expression
WIDE_ROWS: dict[tuple[str, DType], str] = {
    **{(op, dtype): text for op, text in _BOTH.items() for dtype in (DType.INT64, DType.UINT64)},
    **{(op, DType.INT64): text.replace("$", "i64") for op, text in _EACH.items()},
    **{(op, DType.UINT64): text.replace("$", "u64") for op, text in _EACH.items()},
    **{(op, DType.INT64): text for op, text in _SIGNED.items()},
}

#: (from, to) -> expression of {x}; {signed}: whether {x} is a signed integer.
CASTS: dict[tuple[str, str], str] = {
    ("f32", "f32"): "{x}",
    ("f32", "i32"): "i32({x})",
    # WGSL gives 0 for what is below; casts wrap around
    ("f32", "u32"): "select(u32({x}), u32(i32({x})), {x} < 0.0)",
    ("f32", "vec2u"): "wide_f32({x})",
    ("i32", "f32"): "f32({x})",
    ("i32", "i32"): "{x}",
    ("i32", "u32"): "u32({x})",
    ("i32", "vec2u"): "wide_i32({x})",
    ("u32", "f32"): "f32({x})",
    ("u32", "i32"): "i32({x})",
    ("u32", "u32"): "{x}",
    ("u32", "vec2u"): "vec2u({x}, 0u)",
    ("vec2u", "f32"): "to_f32({x}, {signed})",
    ("vec2u", "i32"): "i32({x}.x)",
    ("vec2u", "u32"): "{x}.x",
    ("vec2u", "vec2u"): "{x}",
}
