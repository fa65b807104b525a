// conv2d    each thread sums 4 output channels (with ONE 1) by 4 neighbours along a row
// shapes    b [B, G * C, H, W], a [G * M, C, KH, KW], bias [G * M] -> y [B, G * M, OH, OW]
// dtypes    a, b, y: f32 f16; sums in f32
// consts    strides SH SW, dilations DH DW, padding PT PL in front, G groups, M channels of each
// dispatch  [ceil(blocks / WG)], WG threads; blocks = B * G * ceil(M / 4) * OH * ceil(OW / 4)
// source    straight from memory: for groups (depthwise has M = 1) and software adapters;
//           others go through gemm_tiles

#include outer.wgsl

fn pixel(row: u32, w: u32) -> f32 {
  if (w < W()) { return b(row + w); }
  return 0.0;  // in the padding; in front of the image w wraps around to a huge number
}

fn save(m: u32, z: u32, oh: u32, w: u32, given: vec4f) {
  if (m >= M) { return; }  // M and OW need not be multiples of 4
#if BIAS
  let value = given + bias(z % G * M + m);
#else
  let value = given;
#endif
  let to = ((z * M + m) * OH() + oh) * OW() + w;
  put(to, value.x);
  if (w + 1u < OW()) { put(to + 1u, value.y); }
  if (w + 2u < OW()) { put(to + 2u, value.z); }
  if (w + 3u < OW()) { put(to + 3u, value.w); }
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
#if ONE
  const FOURS = 1u;
  const EACH = 1u;
  var acc = vec4f();
#else
  const FOURS = (M + 3u) / 4u;
  const EACH = 4u;
  var acc = mat4x4f();
#endif
  let across = (OW() + 3u) / 4u;
  let i = (wg.x + wg.y * SPREAD) * WG + t;
  let w0 = i % across * 4u;
  let oh = i / across % OH();
  let m0 = i / across / OH() % FOURS * EACH;
  let z = i / across / OH() / FOURS;  // image and group
  if (z >= batches()) { return; }  // the last workgroup
#if ONE
  let filter_at = z % G * C * KH * KW;
#else
  let filter_at = (z % G * M + min(m0 + vec4u(0u, 1u, 2u, 3u), vec4u(M - 1u))) * C * KH * KW;
#endif
  for (var c = 0u; c < C; c++) {
    for (var kh = 0u; kh < KH; kh++) {
      let h = oh * SH + kh * DH - PT;  // in front of the image: a huge number
      if (h >= H()) { continue; }
      let row = ((z * C + c) * H() + h) * W();
      for (var kw = 0u; kw < KW; kw++) {
        let w = w0 * SW + kw * DW - PL;
        let v = vec4f(pixel(row, w), pixel(row, w + SW), pixel(row, w + 2u * SW),
          pixel(row, w + 3u * SW));
        let at = filter_at + (c * KH + kh) * KW + kw;
#if ONE
        acc += a(at) * v;
#else
        acc = add_outer(acc, vec4f(a(at.x), a(at.y), a(at.z), a(at.w)), v);
#endif
      }
    }
  }
#if ONE
  save(m0, z, oh, w0, acc);
#else
  save(m0, z, oh, w0, acc[0]);
  save(m0 + 1u, z, oh, w0, acc[1]);
  save(m0 + 2u, z, oh, w0, acc[2]);
  save(m0 + 3u, z, oh, w0, acc[3]);
#endif
}
