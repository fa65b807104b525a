// unpack_q4_1   value = q * d + m, 32 elements: d f16, m f16, 16 bytes of nibbles
// shapes    raw 20 bytes a block -> codes u32 [N, K/8] (element 0 in the lowest nibble),
//           scales u32 [N, K/32], f16 (scale, minimum)
// dtypes    codes 4 bits; scale and minimum are copies
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K multiple of 32)
// dispatch  [ceil(ROWS * K / 32 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q4_1

const ELEMENTS = 32u;
#include unpack_codes.wgsl

fn unpack(block: u32, to: u32) {
    let at = block * 5u;  // in words
    scales[to] = raw[at];
    for (var i = 0u; i < 2u; i++) {  // low nibbles are elements 0 to 15, high ones 16 to 31
        write_nibbles(4u * to + i, 2u, raw[at + 1u + 2u * i], raw[at + 2u + 2u * i]);
    }
}
