// unpack_q6_k   value = (q - 32) * (d * sc), 16 groups of 16: 128 bytes of nibbles,
//           64 bytes of upper bit pairs, 16 int8 sc, d f16
// shapes    raw 210 bytes a block -> codes u32 [N, K/4] (4 int8, element 0 in the lowest byte),
//           scales u32 [N, K/16, 2], f32 bits (scale, minimum)
// dtypes    codes int8, -32 to 31; scales f32, exact products; the minimum is zero
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K multiple of 256)
// dispatch  [ceil(ROWS * K / 256 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q6_K

const ELEMENTS = 256u;
#include unpack_codes.wgsl

fn unpack(block: u32, to: u32) {
    let group = 16u * to;
    let at = block * 210u;
    let d = float_of(half_at(at + 208u));
    for (var i = 0u; i < 16u; i++) {
        let sc = bitcast<i32>(word_at(at + 192u + i / 4u * 4u) << (24u - i % 4u * 8u)) >> 24u;
        scales[2u * (group + i)] = bitcast<u32>(d * f32(sc));
        scales[2u * (group + i) + 1u] = 0u;
    }
    for (var i = 0u; i < 64u; i++) {
        // Half h of 128 elements, in it run r of 32: nibble r / 2 of bytes 32 (r % 2), bit pair r.
        let h = i / 32u;
        let r = i / 8u % 4u;
        let byte = 4u * (i % 8u);
        let nibble = (word_at(at + 64u * h + r % 2u * 32u + byte) >> (r / 2u * 4u)) & 0x0f0f0f0fu;
        let pair = (word_at(at + 128u + 32u * h + byte) >> (2u * r)) & 0x03030303u;
        codes[4u * group + i] = centre(nibble | (pair << 4u), 32u);
    }
}
