// unpack    what every unpack kernel has: the raw bytes, their readers, a place for each block
// needs     const ELEMENTS, a block's share of a row; fn unpack(block, to), which writes block
//           `block` of raw as block `to` of the destination; raw, like every buffer, ends on a
//           multiple of 4 bytes
// consts    ROWS, K: u32, the source's shape (K multiple of ELEMENTS); source row r goes to row
//           r * ROW_STRIDE + ROW_OFFSET of the destination, so that tensors can interleave
// source    IEEE 754

@group(0) @binding(0) var<storage, read> raw: array<u32>;

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

// f16 bits to f32. Not unpack2x16float: WGSL lets it flush subnormals, and a scale often is one.
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

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
    let block = id.x + id.y * n.x * 64u;
    let per_row = K / ELEMENTS;
    if block >= ROWS * per_row {  // the last workgroups are not full
        return;
    }
    let row = block / per_row * ROW_STRIDE + ROW_OFFSET;
    unpack(block, row * per_row + block % per_row);
}
