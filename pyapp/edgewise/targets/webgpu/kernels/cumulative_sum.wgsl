// cumulative_sum  y = the sums of x up to each place along one axis
// shapes    x as rows of SIZE elements, element i of a row at at(row, i) -> y alike
// dtypes    T_x, in which it computes: f32, i32, u32, vec2u for 64 bits
// needs     plus(a, b)
// consts    flags EXCLUSIVE (without the element itself), REVERSED (from the end);
//           WG threads; with GROUP they share a row, else each has its own
// dispatch  with GROUP [rows], else [ceil(rows / WG)]
// source    WebNN cumulativeSum; with GROUP, Hillis and Steele's scan of WG elements at a time

#if GROUP
var<workgroup> held: array<T_x, WG>;
#endif

fn element(row: u32, i: u32) -> u32 {
#if REVERSED
  let along = SIZE() - 1u - i;
#else
  let along = i;
#endif
  return at(row, along);
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  var sum = T_x(0);
#if GROUP
  let row = wg.x + wg.y * SPREAD;
  if (row >= rows()) { return; }  // the last workgroups
  for (var begin = 0u; begin < SIZE(); begin += WG) {
    let i = begin + t;
    var upto = T_x(0);
    if (i < SIZE()) { upto = x(element(row, i)); }  // SIZE need not be a multiple of WG
    held[t] = upto;
    for (var reach = 1u; reach < WG; reach *= 2u) {
      workgroupBarrier();
      var before = T_x(0);
      if (t >= reach) { before = held[t - reach]; }
      workgroupBarrier();
      upto = plus(upto, before);
      held[t] = upto;
    }
    workgroupBarrier();
#if EXCLUSIVE
    upto = T_x(0);
    if (t > 0u) { upto = held[t - 1u]; }
    if (i < SIZE()) { put(element(row, i), plus(sum, upto)); }
#else
    if (i < SIZE()) { put(element(row, i), plus(sum, upto)); }
#endif
    sum = plus(sum, held[WG - 1u]);
    workgroupBarrier();
  }
#else
  let row = (wg.x + wg.y * SPREAD) * WG + t;
  if (row >= rows()) { return; }  // the last workgroup
  for (var i = 0u; i < SIZE(); i++) {
    let own = x(element(row, i));
#if EXCLUSIVE
    put(element(row, i), sum);
    sum = plus(sum, own);
#else
    sum = plus(sum, own);
    put(element(row, i), sum);
#endif
  }
#endif
}
