// unpack_q8_0   value = q * d, 32 elements: d f16, 32 int8
// shapes    raw 34 bytes a block -> codes u32 [N, K/4] (4 int8, element 0 in the lowest byte),
//           scales u32 [N, K/32], f16 (scale, minimum)
// dtypes    codes int8; the scale is a copy, the minimum zero
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K: u32, the source's shape (K multiple of 32); source row r goes to row
//           r * ROW_STRIDE + ROW_OFFSET of the destination, so that tensors can interleave
// dispatch  [ceil(ROWS * K / 32 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw, like every buffer, ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q8_0

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

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
    let block = id.x + id.y * n.x * 64u;
    let per_row = K / 32u;
    if block >= ROWS * per_row {  // the last workgroups are not full
        return;
    }
    let row = block / per_row * ROW_STRIDE + ROW_OFFSET;
    let group = row * per_row + block % per_row;
    let at = block * 34u;
    scales[group] = half_at(at);
    for (var i = 0u; i < 8u; i++) {
        codes[8u * group + i] = word_at(at + 2u + 4u * i);
    }
}
