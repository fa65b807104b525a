// attention_row  softmax(q kᵀ * SCALE) v for one query row, over the keys in the state
// shapes    q [H, D], k v [T, KV_HEADS, D] with past() + 1 rows valid -> y [H, D]
// dtypes    TX of q and y, TS of the state: f32 f16; computes in f32
// bindings  q, k, v, y (all vec4)
// consts    D4 = D / 4; WG threads, also the keys looked at in one round
// dispatch  [H], one workgroup a head
// source    online softmax, arXiv:1805.02867

var<workgroup> qs: array<vec4f, D4>;
var<workgroup> scores: array<f32, WG>;
var<workgroup> reduced: array<f32, WG>;
var<workgroup> sums: array<vec4f, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let head = wg.x;
  let kv_head = head / (H / KV_HEADS);
  let n = past() + 1u;
  let column = t % D4;
  let group = t / D4;
  if (t < D4) { qs[t] = vec4f(q[head * D4 + t]) * SCALE; }
  var acc = vec4f(0.0);
  var sum = 0.0;
  var highest = -1e30;
  for (var base = 0u; base < n; base += WG) {
    workgroupBarrier();
    var score = -1e30;
    if (base + t < n) {
      let at = ((base + t) * KV_HEADS + kv_head) * D4;
      var products = vec4f(0.0);
      for (var c = 0u; c < D4; c++) { products += qs[c] * vec4f(k[at + c]); }
      score = products.x + products.y + products.z + products.w;
    }
    reduced[t] = score;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (t < half) { reduced[t] = max(reduced[t], reduced[t + half]); }
    }
    workgroupBarrier();
    let higher = max(highest, reduced[0]);
    scores[t] = select(0.0, exp(score - higher), base + t < n);
    workgroupBarrier();
    let correction = exp(highest - higher);
    acc *= correction;
    sum *= correction;
    highest = higher;
    let last = min(WG, n - base);
    if (group < WG / D4) {  // D4 need not divide WG
      for (var j = group; j < last; j += WG / D4) {
        let p = scores[j];
        sum += p;
        acc += p * vec4f(v[((base + j) * KV_HEADS + kv_head) * D4 + column]);
      }
    }
  }
  sums[t] = acc;
  workgroupBarrier();
  reduced[t] = sum;
  workgroupBarrier();
  if (t >= D4) { return; }
  for (var g = 1u; g < WG / D4; g++) {
    acc += sums[g * D4 + t];
    sum += reduced[g * D4 + t];
  }
  y[head * D4 + t] = TX4(acc / sum);
}
