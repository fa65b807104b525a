// unpack_q5_1   value = q * d + m, 32 elements: d f16, m f16, 32 fifth bits, 16 bytes of nibbles
// shapes    raw 24 bytes a block -> codes u32 [N, K/4] (4 int8, element 0 in the lowest byte),
//           scales u32 [N, K/32], f16 (scale, minimum)
// dtypes    codes int8, 0 to 31; scale and minimum are copies
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K: u32, the source's shape (K multiple of 32); source row r goes to row
//           r * ROW_STRIDE + ROW_OFFSET of the destination, so that tensors can interleave
// dispatch  [ceil(ROWS * K / 32 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw, like every buffer, ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q5_1

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;

override ROWS: u32;
override K: u32;
override ROW_STRIDE: u32 = 1u;
override ROW_OFFSET: u32 = 0u;

// Four bits to bit 4 of four bytes: the factor puts bit i at 8 i, among others masked out.
fn fifth(bits: u32) -> u32 {
    return (((bits & 15u) * 0x00204081u) & 0x01010101u) << 4u;
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
    let at = block * 6u;  // in words
    scales[group] = raw[at];
    let high = raw[at + 1u];
    for (var i = 0u; i < 8u; i++) {  // low nibbles are elements 0 to 15, high ones 16 to 31
        let low = (raw[at + 2u + i % 4u] >> (i / 4u * 4u)) & 0x0f0f0f0fu;
        codes[8u * group + i] = low | fifth(high >> (4u * i));
    }
}
