// sample_scores  adjusts logits and finds each part's highest score and its index
// shapes    logits seen bias [V] -> scores [V], parts [ceil(V / 1024)] of (score, index)
// bindings  logits, seen, bias, scores, parts (vec2f)
// dispatch  [ceil(V / 1024)], 256 threads
// source    repetition penalty: arXiv:1909.05858, section 4.1

var<workgroup> best: array<vec2f, 256>;

fn better(a: vec2f, b: vec2f) -> vec2f {
  // The lower index wins a tie; indices below 2^24 are exact in f32.
  return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let penalty = slot.settings[0].w;
  var mine = vec2f(-3.4e38, f32(V));
  for (var i = wg.x * 1024u + t; i < min(V, wg.x * 1024u + 1024u); i += 256u) {
    var score = logits[i];
    if (seen[i] != 0u) { score = select(score * penalty, score / penalty, score > 0.0); }
    score += bias[i];
    scores[i] = score;
    mine = better(mine, vec2f(score, f32(i)));
  }
  best[t] = mine;
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half) { best[t] = better(best[t], best[t + half]); }
  }
  if (t == 0u) { parts[wg.x] = best[0]; }
}
