// unpack_q5_1   value = q * d + m, 32 elements: d f16, m f16, 32 fifth bits, 16 bytes of nibbles
// shapes    raw 24 bytes a block -> codes u32 [N, K/4] (4 int8, element 0 in the lowest byte),
//           scales u32 [N, K/32], f16 (scale, minimum)
// dtypes    codes int8, 0 to 31; scale and minimum are copies
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K multiple of 32)
// dispatch  [ceil(ROWS * K / 32 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q5_1

const ELEMENTS = 32u;
#include unpack_codes.wgsl

fn unpack(block: u32, to: u32) {
    let at = block * 6u;  // in words
    scales[to] = raw[at];
    let high = raw[at + 1u];
    for (var i = 0u; i < 8u; i++) {  // low nibbles are elements 0 to 15, high ones 16 to 31
        let low = (raw[at + 2u + i % 4u] >> (i / 4u * 4u)) & 0x0f0f0f0fu;
        codes[8u * to + i] = low | fifth(high >> (4u * i));
    }
}
