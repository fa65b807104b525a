// attention softmax(q kᵀ * SCALE) v, causal, for many query rows, in tiles of QT by KT
// shapes    q [S, H, D], k v [T, KV_HEADS, D] with past() + S rows valid -> y [S, H, D];
//           query s sees keys 0 … past() + s
// dtypes    TX of q and y, TS of the state: f32 f16; computes in f32
// bindings  q, k, v, y (all vec4)
// consts    D4 = D / 4; QT, KT tile sizes; EACH = results (vec4) a thread, ceil(QT * D4 / 128)
// dispatch  [H, ceil(S / QT)], 128 threads
// source    FlashAttention, arXiv:2205.14135

const STRIDE = D4 + 1u;  // one vec4 of padding keeps the banks apart
const SHARE = 128u / QT;
var<workgroup> qs: array<vec4f, QT * D4>;
var<workgroup> tile: array<vec4f, KT * STRIDE>;
var<workgroup> scores: array<f32, QT * KT>;
var<workgroup> highest: array<f32, QT>;
var<workgroup> correction: array<f32, QT>;
var<workgroup> sums: array<f32, QT>;
var<workgroup> shared_row: array<f32, 128>;

@compute @workgroup_size(128)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let head = wg.x;
  let kv_head = head / (H / KV_HEADS);
  let s0 = wg.y * QT;
  for (var i = t; i < QT * D4; i += 128u) {
    let s = s0 + i / D4;
    var value = vec4f(0.0);
    if (s < rows()) { value = vec4f(q[(s * H + head) * D4 + i % D4]) * SCALE; }
    qs[i] = value;
  }
  if (t < QT) {
    highest[t] = -1e30;
    sums[t] = 0.0;
  }
  var acc: array<vec4f, EACH>;
  let end = past() + min(s0 + QT, rows());
  for (var base = 0u; base < end; base += KT) {
    workgroupBarrier();
    for (var i = t; i < KT * D4; i += 128u) {
      let key = base + i / D4;
      var value = vec4f(0.0);
      if (key < end) { value = vec4f(k[(key * KV_HEADS + kv_head) * D4 + i % D4]); }
      tile[(i / D4) * STRIDE + i % D4] = value;
    }
    workgroupBarrier();
    for (var i = t; i < QT * KT; i += 128u) {
      let row = i / KT;
      let j = i % KT;
      var products = vec4f(0.0);
      for (var c = 0u; c < D4; c++) { products += qs[row * D4 + c] * tile[j * STRIDE + c]; }
      let score = products.x + products.y + products.z + products.w;
      scores[i] = select(-1e30, score, base + j <= past() + s0 + row);
    }
    workgroupBarrier();
    // 128 / QT threads share a row: each looks at every SHAREth score.
    var most = -1e30;
    for (var j = t % SHARE; j < KT; j += SHARE) { most = max(most, scores[t / SHARE * KT + j]); }
    shared_row[t] = most;
    workgroupBarrier();
    most = highest[t / SHARE];
    for (var i = 0u; i < SHARE; i++) { most = max(most, shared_row[t / SHARE * SHARE + i]); }
    var sum = 0.0;
    for (var j = t % SHARE; j < KT; j += SHARE) {
      let at = t / SHARE * KT + j;
      let p = select(0.0, exp(scores[at] - most), scores[at] > -1e30);
      scores[at] = p;
      sum += p;
    }
    workgroupBarrier();
    shared_row[t] = sum;  // now the sums
    if (t % SHARE == 0u) {
      correction[t / SHARE] = exp(highest[t / SHARE] - most);
      highest[t / SHARE] = most;
    }
    for (var i = t; i < KT * D4; i += 128u) {
      let key = base + i / D4;
      var value = vec4f(0.0);
      if (key < end) { value = vec4f(v[(key * KV_HEADS + kv_head) * D4 + i % D4]); }
      tile[(i / D4) * STRIDE + i % D4] = value;
    }
    workgroupBarrier();
    if (t < QT) {
      var row_sum = sums[t] * correction[t];
      for (var i = 0u; i < SHARE; i++) { row_sum += shared_row[t * SHARE + i]; }
      sums[t] = row_sum;
    }
    for (var e = 0u; e < EACH; e++) {
      let i = t + e * 128u;
      if (i < QT * D4) {  // QT * D4 need not be a multiple of 128
        let row = i / D4;
        var value = acc[e] * correction[row];
        for (var j = 0u; j < KT; j++) { value += scores[row * KT + j] * tile[j * STRIDE + i % D4]; }
        acc[e] = value;
      }
    }
  }
  workgroupBarrier();
  for (var e = 0u; e < EACH; e++) {
    let i = t + e * 128u;
    let s = s0 + i / D4;
    if (i < QT * D4 && s < rows()) { y[(s * H + head) * D4 + i % D4] = TX4(acc[e] / sums[i / D4]); }
  }
}
