// attention_row_lanes  softmax(q kᵀ * SCALE) v for one query row; D4 lanes share a key
// shapes    q [H, D], k v [T, KV_HEADS, D] with past() + 1 rows valid -> y [H, D]
// dtypes    TX of q and y, TS of the state: f32 f16; computes in f32
// bindings  q, k, v, y (all vec4)
// consts    D4 = D / 4, a power of two; WG threads look at WG / D4 * AHEAD keys in one round
// dispatch  [H], one workgroup a head
// needs     subgroups of at least D4, laid out by local index
// source    online softmax, arXiv:1805.02867, in each group of lanes; merged once, at the end

const KEYS = WG / D4;
const AHEAD = 4u;  // independent loads in flight
var<workgroup> highs: array<f32, KEYS>;
var<workgroup> sums: array<f32, KEYS>;
var<workgroup> parts: array<vec4f, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let head = wg.x;
  let kv_head = head / (H / KV_HEADS);
  let n = past() + 1u;
  let column = t % D4;
  let group = t / D4;
  let query = vec4f(q[head * D4 + column]) * SCALE;
  var acc = vec4f(0.0);
  var sum = 0.0;
  var high = -1e30;
  for (var base = 0u; base < n; base += KEYS * AHEAD) {
    var scores: array<f32, AHEAD>;
    var values: array<vec4f, AHEAD>;
    for (var i = 0u; i < AHEAD; i++) {
      // Past the last key the last one is read again, and not counted.
      let key = min(base + i * KEYS + group, n - 1u);
      let at = (key * KV_HEADS + kv_head) * D4 + column;
      scores[i] = dot(query, vec4f(k[at]));
      values[i] = vec4f(v[at]);
    }
    for (var mask = D4 / 2u; mask > 0u; mask /= 2u) {
      for (var i = 0u; i < AHEAD; i++) { scores[i] += subgroupShuffleXor(scores[i], mask); }
    }
    var higher = high;
    for (var i = 0u; i < AHEAD; i++) { higher = max(higher, scores[i]); }
    let correction = exp(high - higher);
    acc *= correction;
    sum *= correction;
    for (var i = 0u; i < AHEAD; i++) {
      let p = select(0.0, exp(scores[i] - higher), base + i * KEYS + group < n);
      sum += p;
      acc += p * values[i];
    }
    high = higher;
  }
  parts[t] = acc;
  if (column == 0u) {
    highs[group] = high;
    sums[group] = sum;
  }
  workgroupBarrier();
  if (t >= D4) { return; }
  var highest = highs[0];
  for (var g = 1u; g < KEYS; g++) { highest = max(highest, highs[g]); }
  var total = 0.0;
  var result = vec4f(0.0);
  for (var g = 0u; g < KEYS; g++) {
    let factor = exp(highs[g] - highest);
    total += factor * sums[g];
    result += factor * parts[g * D4 + t];
  }
  y[head * D4 + t] = TX4(result / total);
}
