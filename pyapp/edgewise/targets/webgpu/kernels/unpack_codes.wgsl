// unpack_codes  what the quantised types have: bindings for codes and scales, packing of codes
// needs     what unpack.wgsl needs
// source    ggml-quants.c: nibbles side by side, fifth bits 32 to a word

#include unpack.wgsl

@group(0) @binding(1) var<storage, read_write> codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;

// Four bytes in, their low nibbles out, side by side in 16 bits.
fn four_nibbles(bytes: u32) -> u32 {
    let low = bytes & 0x0f0f0f0fu;
    let pairs = (low | (low >> 4u)) & 0x00ff00ffu;
    return (pairs | (pairs >> 8u)) & 0xffffu;
}

// The low nibbles of eight bytes as words `to`, the high ones `apart` words behind.
fn write_nibbles(to: u32, apart: u32, a: u32, b: u32) {
    codes[to] = four_nibbles(a) | (four_nibbles(b) << 16u);
    codes[to + apart] = four_nibbles(a >> 4u) | (four_nibbles(b >> 4u) << 16u);
}

// Four bits to bit 4 of four bytes: the factor puts bit i at 8 i, among others masked out.
fn fifth(bits: u32) -> u32 {
    return (((bits & 15u) * 0x00204081u) & 0x01010101u) << 4u;
}

// `middle` (at most 128) off each of four bytes below 128, without a borrow between them.
fn centre(bytes: u32, middle: u32) -> u32 {
    return ((bytes | 0x80808080u) - middle * 0x01010101u) ^ 0x80808080u;
}
