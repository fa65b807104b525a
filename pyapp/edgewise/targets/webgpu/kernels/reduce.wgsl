// reduce    one number from the SIZE elements of each row
// shapes    x as rows of SIZE elements, element i of a row at at(row, i) -> y [rows]
// dtypes    A, in which it computes: f32 (x f32 f16), i32, u32
// needs     functions each(A) of an element, fold(A, A) of two, last(A) of what is left;
//           START, which folding leaves alone; with EXTREME any element will do instead
// consts    WG threads; with GROUP they share a row, else each has its own;
//           PARTS of a row are folded apart (PART elements each) and are rows of their own
// dispatch  with GROUP [rows * PARTS], else [ceil(rows / WG)]

#if GROUP
var<workgroup> held: array<A, WG>;
#endif

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
#if GROUP
  let row = wg.x + wg.y * SPREAD;
  if (row >= rows()) { return; }  // the last workgroups
  let begin = row % PARTS * PART;
#if EXTREME
  var acc = A(x(at(row / PARTS, min(begin + t, SIZE() - 1u))));
#else
  var acc = START;
#endif
  for (var i = begin + t; i < min(begin + PART, SIZE()); i += WG) {
    acc = fold(acc, each(A(x(at(row / PARTS, i)))));
  }
  held[t] = acc;
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half) { held[t] = fold(held[t], held[t + half]); }
  }
  if (t == 0u) { put(row, T_put(last(held[0]))); }
#else
  let row = (wg.x + wg.y * SPREAD) * WG + t;
  if (row >= rows()) { return; }  // the last workgroup
#if EXTREME
  var acc = A(x(at(row, 0u)));
#else
  var acc = START;
#endif
  for (var i = 0u; i < SIZE(); i++) { acc = fold(acc, each(A(x(at(row, i))))); }
  put(row, T_put(last(acc)));
#endif
}
