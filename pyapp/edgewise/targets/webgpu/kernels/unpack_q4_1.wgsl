// unpack_q4_1   value = q * d + m, 32 elements: d f16, m f16, 16 bytes of nibbles
// shapes    raw 20 bytes a block -> codes u32 [N, K/8] (element 0 in the lowest nibble),
//           scales u32 [N, K/32], f16 (scale, minimum)
// dtypes    codes 4 bits; scale and minimum are copies
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K: u32, the source's shape (K multiple of 32); source row r goes to row
//           r * ROW_STRIDE + ROW_OFFSET of the destination, so that tensors can interleave
// dispatch  [ceil(ROWS * K / 32 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw, like every buffer, ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q4_1

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;

override ROWS: u32;
override K: u32;
override ROW_STRIDE: u32 = 1u;
override ROW_OFFSET: u32 = 0u;

// Four bytes in, their low nibbles out, side by side in 16 bits.
fn nibbles(bytes: u32) -> u32 {
    let low = bytes & 0x0f0f0f0fu;
    let pairs = (low | (low >> 4u)) & 0x00ff00ffu;
    return (pairs | (pairs >> 8u)) & 0xffffu;
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
    let at = block * 5u;  // in words
    scales[group] = raw[at];
    for (var i = 0u; i < 2u; i++) {  // low nibbles are elements 0 to 15, high ones 16 to 31
        let a = raw[at + 1u + 2u * i];
        let b = raw[at + 2u + 2u * i];
        codes[4u * group + i] = nibbles(a) | (nibbles(b) << 16u);
        codes[4u * group + 2u + i] = nibbles(a >> 4u) | (nibbles(b >> 4u) << 16u);
    }
}
