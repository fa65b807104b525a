// unpack_q5_k   value = q * (d * sc) - dmin * m, 8 groups of 32: d f16, dmin f16,
//           12 bytes of sc and m, 32 bytes of fifth bits, 128 bytes of nibbles
// shapes    raw 176 bytes a block -> codes u32 [N, K/4] (4 int8, element 0 in the lowest byte),
//           scales u32 [N, K/32, 2], f32 bits (scale, minimum)
// dtypes    codes int8, 0 to 31; scales f32, exact products
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K: u32, the source's shape (K multiple of 256); source row r goes to row
//           r * ROW_STRIDE + ROW_OFFSET of the destination, so that tensors can interleave
// dispatch  [ceil(ROWS * K / 256 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw, like every buffer, ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q5_K, get_scale_min_k4

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;

override ROWS: u32;
override K: u32;
override ROW_STRIDE: u32 = 1u;
override ROW_OFFSET: u32 = 0u;

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

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
    let block = id.x + id.y * n.x * 64u;
    let per_row = K / 256u;
    if block >= ROWS * per_row {  // the last workgroups are not full
        return;
    }
    let row = block / per_row * ROW_STRIDE + ROW_OFFSET;
    let group = 8u * (row * per_row + block % per_row);
    let at = block * 44u;  // in words
    let d = float_of(raw[at] & 0xffffu);
    let dmin = float_of(raw[at] >> 16u);
    // 6 bits each of 8 scales and 8 minima, four to a word: group i in byte i % 4.
    let sc = raw[at + 1u];
    let m = raw[at + 2u];
    let low = raw[at + 3u];
    var sixes = array(
        sc & 0x3f3f3f3fu, (low & 0x0f0f0f0fu) | ((sc >> 2u) & 0x30303030u),
        m & 0x3f3f3f3fu, ((low >> 4u) & 0x0f0f0f0fu) | ((m >> 2u) & 0x30303030u),
    );
    for (var i = 0u; i < 8u; i++) {
        let shift = 8u * (i % 4u);
        let scale = d * f32((sixes[i / 4u] >> shift) & 63u);
        let minimum = -dmin * f32((sixes[2u + i / 4u] >> shift) & 63u);
        scales[2u * (group + i)] = bitcast<u32>(scale);
        scales[2u * (group + i) + 1u] = bitcast<u32>(minimum);
    }
    for (var i = 0u; i < 64u; i++) {
        let g = i / 8u;  // group g: nibble g % 2 of run g / 2 of 32 bytes, fifth bits in bit g
        let nibble = (raw[at + 12u + g / 2u * 8u + i % 8u] >> (g % 2u * 4u)) & 0x0f0f0f0fu;
        let fifth = (raw[at + 4u + i % 8u] >> g) & 0x01010101u;
        codes[8u * group + i] = nibble | (fifth << 4u);
    }
}
