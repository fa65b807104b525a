// conv_transpose2d  each thread gathers 4 output channels at one place
// shapes    x [B, G * C, H, W], weight [G * C, M, KH, KW], bias [G * M] -> y [B, G * M, OH, OW]
// dtypes    x, weight, y: f32 f16; sums in f32
// consts    strides SH SW, dilations DH DW, padding PT PL in front, G groups, M channels of each
// dispatch  [ceil(blocks / WG)], WG threads; blocks = B * G * ceil(M / 4) * OH * OW
// source    y at oh takes x at h through kh where oh + PT = h * SH + kh * DH

const FOURS = (M + 3u) / 4u;

fn save(m: u32, z: u32, pixel: u32, value: f32) {
  if (m >= M) { return; }  // M need not be a multiple of 4
#if BIAS
  put((z * M + m) * OH() * OW() + pixel, value + bias(z % G * M + m));
#else
  put((z * M + m) * OH() * OW() + pixel, value);
#endif
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let i = (wg.x + wg.y * SPREAD) * WG + t;
  let ow = i % OW();
  let oh = i / OW() % OH();
  let m0 = i / OW() / OH() % FOURS * 4u;
  let z = i / OW() / OH() / FOURS;  // image and group
  if (z >= batches()) { return; }  // the last workgroup
  let m = min(m0 + vec4u(0u, 1u, 2u, 3u), vec4u(M - 1u));
  var acc = vec4f();
  for (var kh = 0u; kh < KH; kh++) {
    let h = oh + PT - kh * DH;  // before the first row: a huge number
    if (h > oh + PT || h % SH != 0u || h / SH >= H()) { continue; }
    for (var kw = 0u; kw < KW; kw++) {
      let w = ow + PL - kw * DW;
      if (w > ow + PL || w % SW != 0u || w / SW >= W()) { continue; }
      for (var c = 0u; c < C; c++) {
        let at = ((z % G * C + c) * M + m) * KH * KW + kh * KW + kw;
        let u = vec4f(weight(at.x), weight(at.y), weight(at.z), weight(at.w));
        acc += x(((z * C + c) * H() + h / SH) * W() + w / SW) * u;
      }
    }
  }
  let pixel = oh * OW() + ow;
  save(m0, z, pixel, acc.x);
  save(m0 + 1u, z, pixel, acc.y);
  save(m0 + 2u, z, pixel, acc.z);
  save(m0 + 3u, z, pixel, acc.w);
}
