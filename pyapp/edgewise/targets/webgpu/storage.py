"""How the elements of each data type lie in GPU memory and what kernels compute with.

Kernels compute in f32, i32, u32, or (64-bit integers) in a vec2u of low and high word. WGSL has no
arrays of 8-bit or 4-bit integers, and of f16 only where the device has shader-f16. Inputs,
states, constants and outputs of such types are *packed* in words as the host sees them, which a
kernel can read but not write element by element; between kernels they are *wide*, a word each.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...dtypes import DType


@dataclass(frozen=True, slots=True)
class Storage:
    """One form in memory.

    element  the WGSL array's element type, `nbytes` long
    compute  the WGSL type that an element is computed in
    load     an expression: element {i} of array {a}
    store    a statement: element {i} of array {a} becomes {v}; empty where that can't be
    """

    element: str
    nbytes: int
    compute: str
    load: str
    store: str


def _plain(element: str, compute: str, store: str = "{v}", nbytes: int = 4) -> Storage:
    return Storage(element, nbytes, compute, "{a}[{i}]", f"{{a}}[{{i}}] = {store};")


def _bits(bits: int, signed: bool) -> Storage:
    """Integers of `bits` bits in words, the lowest first."""
    each = 32 // bits
    place = f"{bits}u * ({{i}} % {each}u)"
    if signed:
        load = f"(bitcast<i32>({{a}}[{{i}} / {each}u] << ({32 - bits}u - {place})) >> {32 - bits}u)"
    else:
        load = f"(({{a}}[{{i}} / {each}u] >> ({place})) & {(1 << bits) - 1}u)"
    return Storage("u32", 4, "i32" if signed else "u32", load, "")


def wrapped(dtype: DType, expression: str) -> str:
    """An i32 or u32 result cut to the bits of an 8-bit or 4-bit type."""
    if dtype.bits >= 16:
        return expression
    if dtype.value.startswith("u"):
        return f"(({expression}) & {(1 << dtype.bits) - 1}u)"
    return f"((({expression}) << {32 - dtype.bits}u) >> {32 - dtype.bits}u)"


WIDE = {
    DType.FLOAT32: _plain("f32", "f32"),
    DType.INT32: _plain("i32", "i32"),
    DType.UINT32: _plain("u32", "u32"),
    DType.INT64: _plain("vec2u", "vec2u", nbytes=8),
    DType.UINT64: _plain("vec2u", "vec2u", nbytes=8),
    # rounded to the values that a float16 has
    DType.FLOAT16: _plain("f32", "f32", "unpack2x16float(pack2x16float(vec2f({v}, 0.0))).x"),
    DType.INT8: _plain("i32", "i32", wrapped(DType.INT8, "{v}")),
    DType.UINT8: _plain("u32", "u32", wrapped(DType.UINT8, "{v}")),
    DType.INT4: _plain("i32", "i32", wrapped(DType.INT4, "{v}")),
    DType.UINT4: _plain("u32", "u32", wrapped(DType.UINT4, "{v}")),
}

HALF = Storage("f16", 2, "f32", "f32({a}[{i}])", "{a}[{i}] = f16({v});")

PACKED = {
    DType.FLOAT16: Storage(
        "u32", 4, "f32",
        "select(unpack2x16float({a}[{i} / 2u]).x, unpack2x16float({a}[{i} / 2u]).y,"
        " {i} % 2u == 1u)", "",
    ),
    DType.INT8: _bits(8, True),
    DType.UINT8: _bits(8, False),
    DType.INT4: _bits(4, True),
    DType.UINT4: _bits(4, False),
}  # fmt: skip


def storage(dtype: DType, *, packed: bool, half: bool) -> Storage:
    """The form of a value; `half`: the device has shader-f16."""
    if dtype is DType.FLOAT16 and half:
        return HALF
    return PACKED[dtype] if packed and dtype in PACKED else WIDE[dtype]


def pack_word(dtype: DType) -> tuple[int, str]:
    """How many elements a word holds, and the WGSL statement that adds element {v} as the {n}th."""
    if dtype is DType.FLOAT16:
        return 2, "word |= pack2x16float(vec2f({v}, 0.0)) << (16u * {n});"
    bits = dtype.bits
    return 32 // bits, f"word |= (u32({{v}}) & {(1 << bits) - 1}u) << ({bits}u * {{n}});"
