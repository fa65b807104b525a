// unpack_q8_0   value = q * d, 32 elements: d f16, 32 int8
// shapes    raw 34 bytes a block -> codes u32 [N, K/4] (4 int8, element 0 in the lowest byte),
//           scales u32 [N, K/32], f16 (scale, minimum)
// dtypes    codes int8; the scale is a copy, the minimum zero
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K multiple of 32)
// dispatch  [ceil(ROWS * K / 32 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q8_0

const ELEMENTS = 32u;
#include unpack_codes.wgsl

fn unpack(block: u32, to: u32) {
    let at = block * 34u;
    scales[to] = half_at(at);
    for (var i = 0u; i < 8u; i++) {
        codes[8u * to + i] = word_at(at + 2u + 4u * i);
    }
}
