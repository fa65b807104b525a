// conv2d    each thread sums RM output channels by RN neighbours along a row, straight from memory
// shapes    b [B, G * C, H, W], a [G * M, C, KH, KW], bias [G * M] -> y [B, G * M, OH, OW]
// dtypes    a, b, y: f32 f16; sums in f32
// consts    strides SH SW, dilations DH DW, padding PT PL in front, G groups, M channels of each;
//           RM divides by no rule: channels past the group's last are not written
// dispatch  [ceil(blocks / WG)], WG threads; blocks = B * G * ceil(M / RM) * OH * ceil(OW / RN)
// source    for groups (depthwise has M = 1) and software adapters; others go through gemm_tiles

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let across = (OW() + RN - 1u) / RN;
  let i = (wg.x + wg.y * SPREAD) * WG + t;
  let w0 = i % across * RN;
  let oh = i / across % OH();
  let m0 = i / across / OH() % ((M + RM - 1u) / RM) * RM;
  let z = i / across / OH() / ((M + RM - 1u) / RM);  // image and group
  if (z >= batches()) { return; }  // the last workgroup
  var acc: array<f32, RM * RN>;
  for (var c = 0u; c < C; c++) {
    for (var kh = 0u; kh < KH; kh++) {
      let h = oh * SH + kh * DH - PT;  // in front of the image: a huge number
      if (h >= H()) { continue; }
      for (var kw = 0u; kw < KW; kw++) {
        var v: array<f32, RN>;
        for (var j = 0u; j < RN; j++) {
          let w = (w0 + j) * SW + kw * DW - PL;
          v[j] = 0.0;  // said outright: naga zeroes no variable of a loop twice
          if (w < W()) { v[j] = b(((z * C + c) * H() + h) * W() + w); }
        }
        for (var r = 0u; r < RM; r++) {
          let m = z % G * M + min(m0 + r, M - 1u);
          let u = a(((m * C + c) * KH + kh) * KW + kw);
          for (var j = 0u; j < RN; j++) { acc[r * RN + j] += u * v[j]; }
        }
      }
    }
  }
  for (var r = 0u; r < min(RM, M - m0); r++) {
    for (var j = 0u; j < min(RN, OW() - w0); j++) {
      var value = acc[r * RN + j];
#if BIAS
      value += bias(z % G * M + m0 + r);
#endif
      put(((z * M + m0 + r) * OH() + oh) * OW() + w0 + j, value);
    }
  }
}
