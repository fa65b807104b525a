// unpack_q4_k   value = q * (d * sc) - dmin * m, 8 groups of 32: d f16, dmin f16,
//           12 bytes of sc and m, 128 bytes of nibbles
// shapes    raw 144 bytes a block -> codes u32 [N, K/8] (element 0 in the lowest nibble),
//           scales u32 [N, K/32, 2], f32 bits (scale, minimum)
// dtypes    codes 4 bits; scales f32, exact products
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K, ROW_STRIDE, ROW_OFFSET of unpack.wgsl (K multiple of 256)
// dispatch  [ceil(ROWS * K / 256 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q4_K, get_scale_min_k4

const ELEMENTS = 256u;
#include unpack_k.wgsl

fn unpack(block: u32, to: u32) {
    let at = block * 36u;  // in words
    let group = 8u * to;
    write_scales(at, group);
    for (var i = 0u; i < 16u; i++) {  // 32 bytes hold two groups: low nibbles, then high
        let word = 4u * (group + i / 4u * 2u) + i % 4u;
        write_nibbles(word, 4u, raw[at + 4u + 2u * i], raw[at + 5u + 2u * i]);
    }
}
