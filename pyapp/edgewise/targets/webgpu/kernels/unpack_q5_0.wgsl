// unpack_q5_0   value = (q - 16) * d, 32 elements: d f16, 32 fifth bits, 16 bytes of nibbles
// shapes    raw 22 bytes a block -> codes u32 [N, K/4] (4 int8, element 0 in the lowest byte),
//           scales u32 [N, K/32], f16 (scale, minimum)
// dtypes    codes int8, -16 to 15; the scale is a copy, the minimum zero
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K multiple of 32)
// dispatch  [ceil(ROWS * K / 32 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q5_0

const ELEMENTS = 32u;
#include unpack_codes.wgsl

fn unpack(block: u32, to: u32) {
    let at = block * 22u;
    scales[to] = half_at(at);
    let high = word_at(at + 2u);
    for (var i = 0u; i < 8u; i++) {  // low nibbles are elements 0 to 15, high ones 16 to 31
        let low = (word_at(at + 6u + 4u * (i % 4u)) >> (i / 4u * 4u)) & 0x0f0f0f0fu;
        codes[8u * to + i] = centre(low | fifth(high >> (4u * i)), 16u);
    }
}
