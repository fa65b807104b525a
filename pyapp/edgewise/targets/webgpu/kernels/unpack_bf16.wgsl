// unpack_bf16   y = x, the upper half of an f32
// shapes    raw 2 bytes an element -> y f32 [N, K]
// dtypes    bf16 to f32, exact
// bindings  0 raw read, 1 y read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K any)
// dispatch  [ceil(ROWS * K / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    ggml-impl.h ggml_compute_bf16_to_fp32

const ELEMENTS = 1u;
#include unpack.wgsl

@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // f32 bits: NaN stays as it is

fn unpack(i: u32, to: u32) {
    y[to] = half_at(2u * i) << 16u;
}
