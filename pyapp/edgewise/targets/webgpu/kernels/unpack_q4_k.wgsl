// unpack_q4_k   value = q * (d * sc) - dmin * m, 8 groups of 32: d f16, dmin f16,
//           12 bytes of sc and m, 128 bytes of nibbles
// shapes    raw 144 bytes a block -> codes u32 [N, K/8] (element 0 in the lowest nibble),
//           scales u32 [N, K/32, 2], f32 bits (scale, minimum)
// dtypes    codes 4 bits; scales f32, exact products
// bindings  0 raw read, 1 codes read_write, 2 scales read_write
// consts    ROWS, K: u32, the source's shape (K multiple of 256); source row r goes to row
//           r * ROW_STRIDE + ROW_OFFSET of the destination, so that tensors can interleave
// dispatch  [ceil(ROWS * K / 256 / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw, like every buffer, ends on a multiple of 4 bytes
// source    ggml-quants.c dequantize_row_q4_K, get_scale_min_k4

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
    let at = block * 36u;  // in words
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
    for (var i = 0u; i < 16u; i++) {  // 32 bytes hold two groups: low nibbles, then high
        let a = raw[at + 4u + 2u * i];
        let b = raw[at + 5u + 2u * i];
        let to = 4u * (group + i / 4u * 2u) + i % 4u;
        codes[to] = nibbles(a) | (nibbles(b) << 16u);
        codes[to + 4u] = nibbles(a >> 4u) | (nibbles(b >> 4u) << 16u);
    }
}
