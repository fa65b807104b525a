// conv_transpose2d  each thread gathers RM output channels at one place
// shapes    x [B, G * C, H, W], weight [G * C, M, KH, KW], bias [G * M] -> y [B, G * M, OH, OW]
// dtypes    x, weight, y: f32 f16; sums in f32
// consts    strides SH SW, dilations DH DW, padding PT PL in front, G groups, M channels of each
// dispatch  [ceil(blocks / WG)], WG threads; blocks = B * G * ceil(M / RM) * OH * OW
// source    y at oh takes x at h through kh where oh + PT = h * SH + kh * DH

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let i = (wg.x + wg.y * SPREAD) * WG + t;
  let ow = i % OW();
  let oh = i / OW() % OH();
  let m0 = i / OW() / OH() % ((M + RM - 1u) / RM) * RM;
  let z = i / OW() / OH() / ((M + RM - 1u) / RM);  // image and group
  if (z >= batches()) { return; }  // the last workgroup
  var acc: array<f32, RM>;
  for (var kh = 0u; kh < KH; kh++) {
    let h = oh + PT - kh * DH;  // before the first row: a huge number
    if (h > oh + PT || h % SH != 0u || h / SH >= H()) { continue; }
    for (var kw = 0u; kw < KW; kw++) {
      let w = ow + PL - kw * DW;
      if (w > ow + PL || w % SW != 0u || w / SW >= W()) { continue; }
      for (var c = 0u; c < C; c++) {
        let v = x(((z * C + c) * H() + h / SH) * W() + w / SW);
        for (var r = 0u; r < RM; r++) {
          let m = min(m0 + r, M - 1u);
          acc[r] += v * weight((((z % G * C + c) * M + m) * KH + kh) * KW + kw);
        }
      }
    }
  }
  for (var r = 0u; r < min(RM, M - m0); r++) {
    var value = acc[r];
#if BIAS
    value += bias(z % G * M + m0 + r);
#endif
    put(((z * M + m0 + r) * OH() + oh) * OW() + ow, value);
  }
}
