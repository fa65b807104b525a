// arg       the index of the foremost of the SIZE elements of a row: the largest or the smallest
// shapes    x as rows of SIZE elements, element i of a row at at(row, i) -> y [rows]
// dtypes    x: any, as T_x; y: i32 u32, vec2u for 64 bits
// needs     before(a, b), whether a comes before b; index(i), a u32 as y has it
// consts    WG threads; with GROUP they share a row, else each has its own
// dispatch  with GROUP [rows], else [ceil(rows / WG)]
// source    WebNN argMin, argMax; of equals, the first

#if GROUP
var<workgroup> values: array<T_x, WG>;
var<workgroup> places: array<u32, WG>;
#endif

fn better(v: T_x, i: u32, than: T_x, place: u32) -> bool {
  return before(v, than) || (!before(than, v) && i < place);
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
  var place = first;
  var value = x(at(row, first));
  for (var i = first + STEP; i < SIZE(); i += STEP) {
    let v = x(at(row, i));
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
  if (t == 0u) { put(row, index(places[0])); }
#else
  put(row, index(place));
#endif
}
