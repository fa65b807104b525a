// unpack_f32   y = x, to rows that may interleave
// shapes    raw 4 bytes an element -> y f32 [N, K]
// dtypes    f32 to f32, bit for bit
// bindings  0 raw read, 1 y read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K any)
// dispatch  [ceil(ROWS * K / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    IEEE 754

const ELEMENTS = 1u;
#include unpack.wgsl

@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // f32 bits: NaN stays as it is

fn unpack(i: u32, to: u32) {
    y[to] = raw[i];
}
