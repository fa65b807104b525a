"""The instructions of the tile interpreter, and the types that its registers hold.

`OPCODES` are in the order of shims/wasm/tile.h, and named as there: what is done, and the type of
what it is done to.
"""

from __future__ import annotations

import struct

from ...dtypes import DType

_NAMES = """
    add_f32 sub_f32 mul_f32 div_f32 max_f32 min_f32 pow_f32 abs_f32
    neg_f32 ceil_f32 floor_f32 round_f32 sqrt_f32 sign_f32 exp_f32 log_f32
    sin_f32 cos_f32 tan_f32 erf_f32 erfc_f32 expm1_f32 sigmoid_f32
    softplus_f32 tanh_f32 clamp_f32 relu_f32 gelu_f32 half_f32
    is_nan_f32 is_infinite_f32 is_negative_f32 eq_f32 lt_f32 le_f32
    add_i32 sub_i32 mul_i32 div_i32 max_i32 min_i32 pow_i32 abs_i32
    neg_i32 sign_i32 eq_i32 lt_i32 le_i32
    div_u32 max_u32 min_u32 pow_u32 lt_u32 le_u32
    int8_i32 uint8_u32 int4_i32 uint4_u32 select_u32 and_u32 or_u32
    xor_u32 not_u32 one_u32
    add_i64 sub_i64 mul_i64 div_i64 max_i64 min_i64 pow_i64 abs_i64
    neg_i64 sign_i64 eq_i64 lt_i64 le_i64
    div_u64 max_u64 min_u64 pow_u64 lt_u64 le_u64 select_u64
    i32_of_f32 u32_of_f32 i64_of_f32 u64_of_f32 f32_of_i32 f32_of_u32
    f32_of_i64 f32_of_u64 i64_of_i32 i64_of_u32 i32_of_i64
"""
OPCODES = tuple(_NAMES.split())
CODES = {name: code for code, name in enumerate(OPCODES)}

#: What elements are computed in; a condition is a word of all bits or none.
COMPUTED = {
    DType.FLOAT32: "f32", DType.FLOAT16: "f32", DType.INT64: "i64", DType.UINT64: "u64",
    DType.INT32: "i32", DType.UINT32: "u32", DType.INT8: "i32", DType.UINT8: "u32",
    DType.INT4: "i32", DType.UINT4: "u32",
}  # fmt: skip
BOOL = "bool"

#: How elements lie in memory: the kinds of shims/wasm/tile.h.
KINDS = {
    DType.FLOAT32: 0, DType.INT32: 0, DType.UINT32: 0, DType.INT64: 1, DType.UINT64: 1,
    DType.FLOAT16: 2, DType.INT8: 3, DType.INT4: 3, DType.UINT8: 4, DType.UINT4: 4,
}  # fmt: skip

_FORMATS = {"f32": "<f", "i32": "<i", "u32": "<I", "i64": "<q", "u64": "<Q"}
_RANGES = {"i32": (-(2**31), 2**31 - 1), "u32": (0, 2**32 - 1),
           "i64": (-(2**63), 2**63 - 1), "u64": (0, 2**64 - 1)}  # fmt: skip


def is_wide(kind: str) -> bool:
    """Whether elements of a type take 8 bytes in a register."""
    return kind in ("i64", "u64")


def opcode(name: str, kind: str) -> str | None:
    """The instruction that does `name` to a type, if there is one; signed ones serve for both
    where the bits are the same."""
    signed = {"u32": "i32", "u64": "i64"}.get(kind, kind)
    return next((n for n in (f"{name}_{kind}", f"{name}_{signed}") if n in CODES), None)


def bits_of(number: float, kind: str) -> int:
    """A number as the bits of a register's element, clamped to what it can hold."""
    if kind in _RANGES:
        low, high = _RANGES[kind]
        number = 0 if number != number else round(min(max(number, low), high))
    elif abs(number) > 3.4028235677973366e38:  # rounds to more than the greatest float32
        number = float("inf") if number > 0 else float("-inf")
    data = struct.pack(_FORMATS[kind], number)
    return int.from_bytes(data, "little")
