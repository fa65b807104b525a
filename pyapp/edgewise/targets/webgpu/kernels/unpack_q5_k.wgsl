// unpack_q5_k   value = q * (d * sc) - dmin * m, 8 groups of 32: d f16, dmin f16,
//           12 bytes of sc and m, 32 bytes of fifth bits, 128 bytes of nibbles
// shapes    raw 176 bytes a block -> codes u32 [N, K/4] (4 int8, element 0 in the lowest byte),
//           scales u32 [N, K/32, 2], f32 bits (scale, minimum)
// dtypes    codes int8, 0 to 31; scales f32, exact products
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K multiple of 256)
// dispatch  [ceil(ROWS * K / 256 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q5_K, get_scale_min_k4

const ELEMENTS = 256u;
#include unpack_k.wgsl

fn unpack(block: u32, to: u32) {
    let at = block * 44u;  // in words
    let group = 8u * to;
    write_scales(at, group);
    for (var i = 0u; i < 64u; i++) {
        let g = i / 8u;  // group g: nibble g % 2 of run g / 2 of 32 bytes, fifth bits in bit g
        let nibble = (raw[at + 12u + g / 2u * 8u + i % 8u] >> (g % 2u * 4u)) & 0x0f0f0f0fu;
        let fifth = (raw[at + 4u + i % 8u] >> g) & 0x01010101u;
        codes[8u * group + i] = nibble | (fifth << 4u);
    }
}
