"""Lowering of matrix products and convolutions, which are matrix products of windows.

conv2d with one group is filter [O, C·KH·KW] times the image's windows [C·KH·KW, OH·OW], which
gemm_operands.wgsl reads from where they lie; with many small groups, and on software adapters,
conv2d.wgsl sums straight from memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ...dtypes import DType
from ...graph.graph import Node
from ...ops.base import Shape
from ...ops.window import canonical
from ...plan.plan import Size
from .access import Access
from .emit import Program, elements, most, n_elements, per
from .index import broadcast
from .rows import PLAIN, over, read_as, window_of, write_as
from .template import Literal
from .tuning import gemm
from .weights import Weights

FEW_CHANNELS = 8  # of a group: tiles would be mostly empty


def matmul(p: Program, w: Weights, node: Node) -> None:
    """The last two axes multiplied; the others broadcast."""
    a, b, y = (p.value(name).shape for name in (*node.inputs, *node.outputs))
    rows: Size = a[-2]
    batch = y[:-2]
    if n_elements(b[:-2]) == 1:  # one matrix for all batches: they are rows like any others
        rows, batch = elements(a[:-1]), ()
    k = Access(p, w, node, "matmul")
    k.read("a", node.inputs[0])
    k.read("b", node.inputs[1])
    k.define("a_batch", _batch("a_batch", a[:-2], batch))
    k.define("b_batch", _batch("b_batch", b[:-2], batch))
    _run(
        k, lambda k: k.write("put", node.outputs[0]), rows, y[-1], elements(batch),
        {"K": a[-1]}, turned=_turned(p, node.inputs[1]),
    )  # fmt: skip


def _turned(p: Program, name: str | None) -> bool:
    """Whether a matrix is the view of one that lies in memory column by column."""
    node, _ = p.deferred.get(p.root(name or ""), (None, 0))
    if node is None or node.op != "transpose":
        return False
    rank = len(p.value(node.inputs[0]).shape)
    order = cast(tuple[int, ...], node.attrs.get("permutation") or tuple(range(rank))[::-1])
    return order.index(rank - 1) == rank - 2


def _batch(name: str, own: Shape, batch: Shape) -> str:
    found = broadcast("z", own, batch) if batch else "0u"
    return f"fn {name}(z: u32) -> u32 {{ return {found}; }}"


def _run(
    k: Access, store: Callable[[Access], object], rows: Size, columns: Size, batches: Size,
    dims: dict[str, Size], consts: dict[str, Literal] | None = None, *, conv: bool = False,
    bias: bool = False, turned: bool = False,
) -> None:  # fmt: skip
    """Dispatch the gemm kernel that suits the sizes; `store` gives a kernel `put` and the bias."""
    p = k.p
    m, n, depth = most(rows), most(columns), most(dims["K"])
    shape = gemm(p.shared.facts, m, n, depth, most(batches), conv=conv, turned=turned)
    k.kernel = shape.kernel
    dims = {"M": rows, "N": columns, **dims}
    consts = {**shape.consts, **(consts or {})}
    slices = shape.slices
    if slices == 1:
        store(k)
    else:
        parts = p.temporary(
            f"{k.node.outputs[0]}.slices", (slices, most(batches), m, n), DType.FLOAT32
        )
        k.place("sums", "f32", parts)
        k.define("put", "fn put(i: u32, v: f32) { sums[i] = v; }")
    groups = (
        (per(columns, shape.columns), per(rows, shape.rows), _times(slices, batches))
        if shape.columns
        else (per(columns if m == 1 else rows, shape.rows), 1, batches)
    )
    flags = {**shape.flags, "CONV": conv, "BIAS": bias and slices == 1}
    k.run(groups, dims=dims, consts=consts, flags=flags)
    if slices > 1:
        last = Access(p, k.w, k.node, "gemm_slices")
        last.place("sums", "f32", parts, access="read")
        store(last)
        last.run(
            [per(_times(1, rows, columns, batches), 64)],
            dims={**dims, "batches": batches},
            consts=consts,
            flags={"BIAS": bias},
        )


def _times(*sizes: Size) -> Size:
    return elements(dim for size in sizes for dim in (size if isinstance(size, tuple) else (size,)))


def conv2d(p: Program, w: Weights, node: Node) -> None:
    """As tiles of a matrix product, or directly for small groups and on software adapters."""
    x, weight = (p.value(name).shape for name in node.inputs[:2])
    layouts = cast(str, node.attrs["inputLayout"]), cast(str, node.attrs["filterLayout"])
    batches, _, height, width = canonical(x, layouts[0])
    n_out, taken, *window = cast(tuple[int, ...], canonical(weight, layouts[1]))
    _, _, out_height, out_width = canonical(p.value(node.outputs[0]).shape, layouts[0])
    groups = cast(int, node.attrs["groups"])
    rows = n_out // groups
    k = Access(p, w, node, "conv2d")
    read_as(k, "a", node.inputs[1], layouts[1], "oihw")
    read_as(k, "b", node.inputs[0], layouts[0], "nchw")
    bias = node.inputs[2] is not None

    def store(k: Access) -> None:
        if bias:
            k.read("bias", node.inputs[2])
        write_as(k, node.outputs[0], "nchw", layouts[0])

    dims: dict[str, Size] = {"H": height, "W": width, "OH": out_height, "OW": out_width}
    consts: dict[str, Literal] = {"G": groups}
    planes = elements((batches, groups))
    plain = window_of(node)
    if plain == PLAIN and window == [1, 1]:
        k.define("a_batch", "fn a_batch(z: u32) -> u32 { return z % G; }")
        k.define("b_batch", "fn b_batch(z: u32) -> u32 { return z; }")
        pixels = elements((height, width))
        _run(k, store, rows, pixels, planes, {"K": taken}, consts, bias=bias)
        return
    consts |= {**plain, "C": taken, "KH": window[0], "KW": window[1]}
    facts = p.shared.facts
    if not facts.fallback and rows >= FEW_CHANNELS:
        dims["K"] = taken * window[0] * window[1]
        pixels = elements((out_height, out_width))
        _run(k, store, rows, pixels, planes, dims, consts, conv=True, bias=bias)
        return
    store(k)
    one = rows == 1
    # A row's last block may be short: OW + 3 over 4 is at least the blocks of a row.
    channels = 1 if one else -(-rows // 4)
    blocks = elements((batches, groups, channels, out_height, out_width + 3))
    threads = 16 if facts.fallback else 64
    counts, spread = over(p, blocks, 4 * threads)
    k.run(
        counts,
        dims={**dims, "batches": planes},
        consts={**consts, **spread, "M": rows, "WG": threads},
        flags={"BIAS": bias, "ONE": one},
    )


def conv_transpose2d(p: Program, w: Weights, node: Node) -> None:
    """Each output element gathers what reaches it."""
    x, weight = (p.value(name).shape for name in node.inputs[:2])
    layouts = cast(str, node.attrs["inputLayout"]), cast(str, node.attrs["filterLayout"])
    batches, channels, height, width = canonical(x, layouts[0])
    rows, _, *window = cast(tuple[int, ...], canonical(weight, layouts[1]))
    _, _, out_height, out_width = canonical(p.value(node.outputs[0]).shape, layouts[0])
    groups = cast(int, node.attrs["groups"])
    k = Access(p, w, node, "conv_transpose2d")
    read_as(k, "x", node.inputs[0], layouts[0], "nchw")
    read_as(k, "weight", node.inputs[1], layouts[1], "iohw")
    bias = node.inputs[2] is not None
    if bias:
        k.read("bias", node.inputs[2])
    write_as(k, node.outputs[0], "nchw", layouts[0])
    threads = 16 if p.shared.facts.fallback else 64
    blocks = elements((batches, groups, -(-rows // 4), out_height, out_width))
    counts, spread = over(p, blocks, threads)
    k.run(
        counts,
        dims={"H": height, "W": width, "OH": out_height, "OW": out_width,
              "batches": elements((batches, groups))},
        consts={**window_of(node), **spread, "G": groups, "M": rows, "WG": threads,
                "C": cast(int, channels) // groups, "KH": window[0], "KW": window[1]},
        flags={"BIAS": bias},
    )  # fmt: skip
