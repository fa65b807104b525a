// unpack_q4_0   value = (q - 8) * d, 32 elements: d f16, 16 bytes of nibbles
// shapes    raw 18 bytes a block -> codes u32 [N, K/8] (element 0 in the lowest nibble),
//           scales u32 [N, K/32], f16 (scale, minimum)
// dtypes    codes 4 bits; the scale is a copy, the minimum -8 d: exact below |d| = 8192
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K multiple of 32)
// dispatch  [ceil(ROWS * K / 32 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q4_0

const ELEMENTS = 32u;
#include unpack_codes.wgsl

// -8 times an f16, in bits: rounding and subnormals are the same everywhere.
fn minus_eight(half: u32) -> u32 {
    let sign = (half & 0x8000u) ^ 0x8000u;
    let exponent = (half >> 10u) & 31u;
    let mantissa = half & 0x3ffu;
    if exponent == 0u {  // mantissa * 2^-24; times 8 it may have become normal
        let m = mantissa << 3u;
        let e = select(firstLeadingBit(m) - 9u, 0u, m < 1024u);
        return sign | select((e << 10u) | ((m >> (e - 1u)) & 0x3ffu), m, e == 0u);
    }
    if exponent == 31u && mantissa != 0u {
        return half;
    }
    return sign | select(((exponent + 3u) << 10u) | mantissa, 0x7c00u, exponent >= 28u);
}

fn unpack(block: u32, to: u32) {
    let at = block * 18u;
    let d = half_at(at);
    scales[to] = d | (minus_eight(d) << 16u);
    for (var i = 0u; i < 2u; i++) {  // low nibbles are elements 0 to 15, high ones 16 to 31
        let run = at + 2u + 8u * i;
        write_nibbles(4u * to + i, 2u, word_at(run), word_at(run + 4u));
    }
}
