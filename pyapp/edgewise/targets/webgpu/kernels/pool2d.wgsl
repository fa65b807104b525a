// pool2d    the average, the largest or the L2 norm of each window, one output element a thread
// shapes    x [B, C, H, W], element at at(b, c, h, w) -> y [B, C, OH, OW], element i of which is
//           at (b, c, oh, ow) = place(i): any layout
// dtypes    x, y: f32 f16 (MAX: any, as T_x); sums in f32
// needs     with MAX lowest() and larger(a, b)
// consts    window KH KW, strides SH SW, dilations DH DW, padding PT PL in front;
//           one of the flags AVERAGE MAX, else L2
// dispatch  [ceil(elements / WG)], WG threads
// source    WebNN pool2d: padding counts neither in an average nor as a candidate

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let i = (wg.x + wg.y * SPREAD) * WG + t;
  if (i >= elements()) { return; }  // the last workgroup
  let to = place(i);
#if MAX
  var acc = lowest();
#else
  var acc = 0.0;
  var seen = 0.0;
#endif
  for (var kh = 0u; kh < KH(); kh++) {
    let h = to.z * SH + kh * DH - PT;  // in front of the image: a huge number
    if (h >= H()) { continue; }
    for (var kw = 0u; kw < KW(); kw++) {
      let w = to.w * SW + kw * DW - PL;
      if (w >= W()) { continue; }
      let v = x(at(to.x, to.y, h, w));
#if MAX
      acc = larger(acc, v);
#else
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
  put(i, acc / seen);
#else
  put(i, sqrt(acc));
#endif
#endif
}
