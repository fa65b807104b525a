// unpack_q6_k   value = (q - 32) * (d * sc), 16 groups of 16: 128 bytes of nibbles,
//           64 bytes of upper bit pairs, 16 int8 sc, d f16
// shapes    raw 210 bytes a block -> codes u32 [N, K/4] (4 int8, element 0 in the lowest byte),
//           scales u32 [N, K/16, 2], f32 bits (scale, minimum)
// dtypes    codes int8, -32 to 31; scales f32, exact products; the minimum is zero
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K: u32, the source's shape (K multiple of 256); source row r goes to row
//           r * ROW_STRIDE + ROW_OFFSET of the destination, so that tensors can interleave
// dispatch  [ceil(ROWS * K / 256 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw, like every buffer, ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q6_K

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;

override ROWS: u32;
override K: u32;
override ROW_STRIDE: u32 = 1u;
override ROW_OFFSET: u32 = 0u;

// Four bytes from any address, out of the words that hold them and no other.
fn word_at(byte: u32) -> u32 {
    let shift = byte % 4u * 8u;
    let low = raw[byte / 4u] >> shift;
    if shift == 0u {
        return low;
    }
    return low | (raw[byte / 4u + 1u] << (32u - shift));
}

fn half_at(even_byte: u32) -> u32 {
    return (raw[even_byte / 4u] >> (even_byte % 4u * 8u)) & 0xffffu;
}

// f16 bits to f32. Not unpack2x16float: WGSL lets it flush subnormals, and d often is one.
fn float_of(half: u32) -> f32 {
    let sign = (half & 0x8000u) << 16u;
    let exponent = (half >> 10u) & 31u;
    let mantissa = half & 0x3ffu;
    if exponent == 0u {
        return bitcast<f32>(sign | bitcast<u32>(f32(mantissa) * 0x1p-24));
    }
    // The exponent's bias is 15 in f16 and 127 in f32; 31 (inf, NaN) becomes 255.
    let biased = exponent + select(112u, 224u, exponent == 31u);
    return bitcast<f32>(sign | (biased << 23u) | (mantissa << 13u));
}

// 32 off each of four bytes, without a borrow between them.
fn centre(bytes: u32) -> u32 {
    return ((bytes | 0x80808080u) - 0x20202020u) ^ 0x80808080u;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
    let block = id.x + id.y * n.x * 64u;
    let per_row = K / 256u;
    if block >= ROWS * per_row {  // the last workgroups are not full
        return;
    }
    let row = block / per_row * ROW_STRIDE + ROW_OFFSET;
    let group = 16u * (row * per_row + block % per_row);
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
        codes[4u * group + i] = centre(nibble | (pair << 4u));
    }
}
