// reduce    one number from the SIZE elements of each row
// shapes    x as rows of SIZE elements, element i of a row at at(row, i) -> y [rows]
// dtypes    T_x, in which it computes: f32, i32, u32, vec2u for 64 bits
// needs     functions each(v) of an element, fold(a, b) of two, last(v) of what is left, and
//           start(), which folding leaves alone
// consts    WG threads; with GROUP they share a row, else each has its own
// dispatch  with GROUP [rows], else [ceil(rows / WG)]

#if GROUP
var<workgroup> held: array<T_x, WG>;
#endif

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
#if GROUP
  let row = wg.x + wg.y * SPREAD;
  if (row >= rows()) { return; }  // the last workgroups
  var acc = start();
  for (var i = t; i < SIZE(); i += WG) { acc = fold(acc, each(x(at(row, i)))); }
  held[t] = acc;
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half) { held[t] = fold(held[t], held[t + half]); }
  }
  if (t == 0u) { put(row, last(held[0])); }
#else
  let row = (wg.x + wg.y * SPREAD) * WG + t;
  if (row >= rows()) { return; }  // the last workgroup
  var acc = start();
  for (var i = 0u; i < SIZE(); i++) { acc = fold(acc, each(x(at(row, i)))); }
  put(row, last(acc));
#endif
}
