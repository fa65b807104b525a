"""The unpack kernels on wgpu against `formats.blocks`, bit for bit."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edgewise.targets.webgpu as webgpu
from edgewise.dtypes import DType
from edgewise.formats.blocks import BLOCKS, BlockType, dequantise, split
from edgewise.targets.webgpu.weights import unpack_code

KERNELS = Path(webgpu.__file__).parent / "kernels"
QUANTISED = [block for block in BLOCKS.values() if block.bits]
FLOATS = ["F32", "F16", "BF16"]
CANARY = 0xDEADBEEF
# Where a block keeps its f16 scales.
HALFS = {"Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,),
         "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}  # fmt: skip


def unpack(
    device: Any, type: str, raw: bytes, outputs: list[int], x_limit: int, **consts: int
) -> list[NDArray[np.uint32]]:
    """Run `unpack_<type>.wgsl`; outputs as long as asked, in words, canaries where not written."""
    import wgpu

    block = BLOCKS[type]
    code = unpack_code(type)
    usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
    source = device.create_buffer_with_data(data=raw + bytes(-len(raw) % 4), usage=usage)
    canaries = [np.full(n + 1, CANARY, np.uint32) for n in outputs]
    buffers = [source] + [device.create_buffer_with_data(data=c, usage=usage) for c in canaries]
    pipeline = device.create_compute_pipeline(
        layout="auto",
        compute={"module": device.create_shader_module(code=code), "entry_point": "main",
                 "constants": consts},
    )  # fmt: skip
    group = device.create_bind_group(
        layout=pipeline.get_bind_group_layout(0),
        entries=[{"binding": i, "resource": {"buffer": b}} for i, b in enumerate(buffers)],
    )
    workgroups = -(-len(raw) // block.nbytes // 64)
    x = min(workgroups, x_limit)
    encoder = device.create_command_encoder()
    compute_pass = encoder.begin_compute_pass()
    compute_pass.set_pipeline(pipeline)
    compute_pass.set_bind_group(0, group)
    compute_pass.dispatch_workgroups(x, -(-workgroups // x), 1)
    compute_pass.end()
    device.queue.submit([encoder.finish()])
    read = [np.frombuffer(device.queue.read_buffer(b), np.uint32) for b in buffers[1:]]
    assert all(words[-1] == CANARY for words in read), "wrote past the end"
    return [words[:-1] for words in read]


def random_blocks(block: BlockType, n: int, seed: int) -> bytes:
    """Random blocks with finite scales: WGSL promises nothing about inf and NaN."""
    raw = np.random.default_rng(seed).integers(0, 256, (n, block.nbytes), np.uint8)
    for at in HALFS[block.name]:
        high = raw[:, at + 1]
        high[high & 0x7C == 0x7C] ^= 0x40
    return raw.tobytes()


def packed(codes: NDArray[Any], bits: int) -> NDArray[np.uint32]:
    """[N, K] codes to [N, K * bits / 32] words, element 0 lowest."""
    fields = codes.view(np.uint8).reshape(len(codes), -1, 32 // bits).astype(np.uint32)
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    return np.asarray(np.bitwise_or.reduce(fields << shifts, axis=-1), np.uint32)


def paired(block: BlockType, scale: NDArray[Any], minimum: NDArray[Any]) -> NDArray[np.uint32]:
    """[N, groups] scales and minima to the words of the scale buffer."""
    both = np.stack([scale, minimum], axis=-1)
    return both.view(np.uint32).reshape(len(scale), -1)


@pytest.mark.gpu
@pytest.mark.parametrize("block", QUANTISED, ids=lambda block: block.name)
@pytest.mark.parametrize(("rows", "blocks"), [(1, 1), (3, 7), (67, 5)])
def test_unpack_equals_split(wgpu_device: Any, block: BlockType, rows: int, blocks: int) -> None:
    assert block.bits is not None
    assert block.group is not None
    k = blocks * block.elements
    raw = random_blocks(block, rows * blocks, seed=rows)
    codes, scale, minimum = split(raw, block.name, (rows, k))
    words_k = k * block.bits // 32
    scales_k = k // block.group * (2 if block.scale == DType.FLOAT32 else 1)
    outputs = [2 * rows * words_k, 2 * rows * scales_k]
    got = unpack(
        wgpu_device, block.name, raw, outputs, 3, ROWS=rows, K=k, ROW_STRIDE=2, ROW_OFFSET=1
    )
    for words, expected in zip(
        got, [packed(codes, block.bits), paired(block, scale, minimum)], strict=True
    ):
        interleaved = words.reshape(rows, 2, -1)
        np.testing.assert_array_equal(interleaved[:, 1], expected)
        assert (interleaved[:, 0] == CANARY).all(), "wrote to rows of another tensor"


@pytest.mark.gpu
def test_q4_0_minimum_for_every_scale(wgpu_device: Any) -> None:
    finite = [h for h in range(1 << 16) if h & 0x7C00 != 0x7C00]
    raw = b"".join(struct.pack("<H16x", half) for half in finite)
    shape = (len(finite), 32)
    _, scale, minimum = split(raw, "Q4_0", shape)
    outputs = [4 * len(finite), len(finite)]
    _, scales = unpack(wgpu_device, "Q4_0", raw, outputs, 100, ROWS=len(finite), K=32)
    np.testing.assert_array_equal(scales, paired(BLOCKS["Q4_0"], scale, minimum).ravel())


@pytest.mark.gpu
@pytest.mark.parametrize("type", FLOATS)
@pytest.mark.parametrize(("rows", "k"), [(1, 1), (3, 7), (129, 65)])
def test_unpack_equals_dequantise(wgpu_device: Any, type: str, rows: int, k: int) -> None:
    raw = np.random.default_rng(k).bytes(rows * k * BLOCKS[type].nbytes)
    expected = dequantise(raw, type, (rows, k))
    (words,) = unpack(
        wgpu_device, type, raw, [2 * rows * k], 3, ROWS=rows, K=k, ROW_STRIDE=2, ROW_OFFSET=1
    )
    interleaved = words.reshape(rows, 2, k)
    got = interleaved[:, 1].copy().view(np.float32)
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(got), nan)
    np.testing.assert_array_equal(got[~nan].view(np.uint32), expected[~nan].view(np.uint32))
    assert (interleaved[:, 0] == CANARY).all(), "wrote to rows of another tensor"


@pytest.mark.gpu
def test_every_f16_value(wgpu_device: Any) -> None:
    raw = np.arange(1 << 16, dtype=np.uint16).tobytes()
    shape = (1 << 8, 1 << 8)
    expected = dequantise(raw, "F16", shape)
    (words,) = unpack(wgpu_device, "F16", raw, [1 << 16], 65535, ROWS=1 << 8, K=1 << 8)
    np.testing.assert_array_equal(words.view(np.float32).reshape(shape), expected)


@pytest.mark.parametrize("type", [block.name for block in QUANTISED] + FLOATS)
def test_header_says_what_a_kernel_needs(type: str) -> None:
    lines = (KERNELS / f"unpack_{type.lower()}.wgsl").read_text().split("\n\n")[0].splitlines()
    assert all(line.startswith("// ") and len(line) <= 100 for line in lines)
    named = [line[3:13].strip() for line in lines if line[3] != " "]
    assert named[0].startswith("unpack_")
    assert named[1:] == ["shapes", "dtypes", "bindings", "consts", "dispatch", "needs", "source"]
