// unpack_k  what Q4_K and Q5_K begin with: d f16, dmin f16, 12 bytes of 6-bit scales and minima
// needs     what unpack.wgsl needs
// source    ggml-quants.c get_scale_min_k4

#include unpack_codes.wgsl

// The four words from `at` to the pairs (d * sc, -dmin * m), exact in f32, of 8 groups.
fn write_scales(at: u32, group: u32) {
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
}
