// sample_pick  the next token from adjusted scores
// shapes    scores [V], parts [PARTS] (sample_scores) -> token [1] i32
// bindings  scores, parts (vec2f), token
// dispatch  [1], 256 threads
// source    top-p: arXiv:1904.09751. The thresholds of top-k and top-p are found by 32 halvings
//           of [-DEPTH, 0], the scaled scores relative to the highest: nothing is sorted. The
//           token comes from inverting the cumulative distribution in the vocabulary's order

const WG = 256u;
const DEPTH = 128.0;  // exp(-128) is 0 in f32
const EACH = (V + WG - 1u) / WG;
var<workgroup> sums: array<f32, WG>;
var<workgroup> chosen: u32;

// The sum over the workgroup; every thread gets it.
fn total(t: u32, value: f32) -> f32 {
  workgroupBarrier();
  sums[t] = value;
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half) { sums[t] += sums[t + half]; }
  }
  workgroupBarrier();
  return sums[0];
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32) {
  let temperature = slot.settings[0].x;
  let top_k = slot.settings[0].y;
  let top_p = slot.settings[0].z;
  let uniform_number = slot.settings[1].x;
  var best = parts[0];
  for (var i = 1u; i < PARTS; i++) { best = select(best, parts[i], parts[i].x > best.x); }
  if (temperature == 0.0) {
    if (t == 0u) { token[0] = i32(best.y); }
    return;
  }
  var threshold = -3.4e38;  // tokens whose scaled score is below this are out
  if (top_k > 0.0 && top_k < f32(V)) {
    var low = -DEPTH;
    var high = 0.0;
    for (var round = 0u; round < 32u; round++) {
      let middle = 0.5 * (low + high);
      var n = 0.0;
      for (var i = t; i < V; i += WG) {
        n += select(0.0, 1.0, (scores[i] - best.x) / temperature >= middle);
      }
      if (total(t, n) >= top_k) { low = middle; } else { high = middle; }
    }
    threshold = low;
  }
  if (top_p < 1.0) {
    var mass = 0.0;
    for (var i = t; i < V; i += WG) {
      let scaled = (scores[i] - best.x) / temperature;
      mass += select(0.0, exp(scaled), scaled >= threshold);
    }
    let wanted = top_p * total(t, mass);
    var low = -DEPTH;
    var high = 0.0;
    for (var round = 0u; round < 32u; round++) {
      let middle = 0.5 * (low + high);
      mass = 0.0;
      for (var i = t; i < V; i += WG) {
        let scaled = (scores[i] - best.x) / temperature;
        mass += select(0.0, exp(scaled), scaled >= max(threshold, middle));
      }
      if (total(t, mass) >= wanted) { low = middle; } else { high = middle; }
    }
    threshold = max(threshold, low);
  }
  let first = t * EACH;
  let end = min(V, first + EACH);
  var mass = 0.0;
  for (var i = first; i < end; i++) {
    let scaled = (scores[i] - best.x) / temperature;
    mass += select(0.0, exp(scaled), scaled >= threshold);
  }
  let goal = uniform_number * total(t, mass);
  workgroupBarrier();
  sums[t] = mass;
  if (t == 0u) { chosen = u32(best.y); }
  workgroupBarrier();
  var running = 0.0;
  for (var i = 0u; i < t; i++) { running += sums[i]; }
  if (running <= goal && goal < running + mass) {
    for (var i = first; i < end; i++) {
      let scaled = (scores[i] - best.x) / temperature;
      running += select(0.0, exp(scaled), scaled >= threshold);
      if (running > goal) {
        chosen = i;
        break;
      }
    }
  }
  workgroupBarrier();
  if (t == 0u) { token[0] = i32(chosen); }
}
