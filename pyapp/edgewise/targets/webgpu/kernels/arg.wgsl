// arg       the index of the largest (with LARGEST, else smallest) of the SIZE elements of a row
// shapes    x [.., SIZE, INNER] as rows (outer, inner) -> y [rows]
// dtypes    x: any; y: i32 u32
// consts    WG threads; with GROUP they share a row, else each has its own
// dispatch  with GROUP [rows], else [ceil(rows / WG)]
// source    WebNN argMin, argMax; of equals, the first

#if GROUP
var<workgroup> values: array<T_x, WG>;
var<workgroup> places: array<u32, WG>;
#endif

fn better(v: T_x, i: u32, than: T_x, at: u32) -> bool {
#if LARGEST
  return v > than || (v == than && i < at);
#else
  return v < than || (v == than && i < at);
#endif
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
#if GROUP
  let row = wg.x + wg.y * SPREAD;
  let first = min(t, SIZE() - 1u);  // a row may have fewer elements than threads
  const STEP = WG;
#else
  let row = (wg.x + wg.y * SPREAD) * WG + t;
  const first = 0u;
  const STEP = 1u;
#endif
  if (row >= rows()) { return; }  // the last workgroup
  let base = row / INNER() * SIZE() * INNER() + row % INNER();
  var place = first;
  var value = x(base + first * INNER());
  for (var i = first + STEP; i < SIZE(); i += STEP) {
    let v = x(base + i * INNER());
    if (better(v, i, value, place)) {
      value = v;
      place = i;
    }
  }
#if GROUP
  values[t] = value;
  places[t] = place;
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half && better(values[t + half], places[t + half], values[t], places[t])) {
      values[t] = values[t + half];
      places[t] = places[t + half];
    }
  }
  if (t == 0u) { put(row, T_put(places[0])); }
#else
  put(row, T_put(place));
#endif
}
