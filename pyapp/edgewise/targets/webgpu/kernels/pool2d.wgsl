// pool2d    the average, the largest or the L2 norm of each window, one output element a thread
// shapes    x [B, C, H, W] -> y [B, C, OH, OW]
// dtypes    x, y: f32 f16 (MAX: also i32 u32); sums in f32
// consts    window KH KW, strides SH SW, dilations DH DW, padding PT PL in front;
//           one of the flags AVERAGE MAX, else L2; LOWEST, of x's type, with MAX
// dispatch  [ceil(elements / WG)], WG threads
// source    WebNN pool2d: padding counts neither in an average nor as a candidate

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x + id.y * SPREAD;
  if (i >= elements()) { return; }  // the last workgroup
  let plane = i / OW() / OH();
#if MAX
  var acc = LOWEST;
#else
  var acc = 0.0;
  var seen = 0.0;
#endif
  for (var kh = 0u; kh < KH; kh++) {
    let h = i / OW() % OH() * SH + kh * DH - PT;  // in front of the image: a huge number
    if (h >= H()) { continue; }
    for (var kw = 0u; kw < KW; kw++) {
      let w = i % OW() * SW + kw * DW - PL;
      if (w >= W()) { continue; }
#if MAX
      acc = max(acc, x((plane * H() + h) * W() + w));
#else
      let v = f32(x((plane * H() + h) * W() + w));
      seen += 1.0;
#if AVERAGE
      acc += v;
#else
      acc += v * v;
#endif
#endif
    }
  }
#if MAX
  put(i, acc);
#else
#if AVERAGE
  put(i, T_put(acc / seen));
#else
  put(i, T_put(sqrt(acc)));
#endif
#endif
}
