// attention_tiles  y = softmax(q kᵀ * SCALE + mask) v for each batch; no score leaves the workgroup
// shapes    q [.., M, D], k [.., N, D], v [.., N, E] -> y [.., M, E]; with MASK, mask(i) is what is
//           added to element i of the scores [.., M, N]
// dtypes    q, k, v, mask, y: f32 f16; computes in f32
// consts    WG threads for TM queries, with TN keys at a time; WG is a multiple of TN and of TM
// needs     q_batch(z), k_batch(z), v_batch(z): which matrices batch z takes
// dispatch  [ceil(M / TM), 1, batches]
// source    arXiv:2205.14135: sums of earlier keys shrink when a larger score comes

const LOWEST = -3.4e38;  // WGSL has no -inf; no finite score is far below it
const LANES = WG / TM;  // threads of a query where scores are compared
const EACH = TM * TN / WG;  // scores of a thread
const OUT = (TM * E + WG - 1u) / WG;  // results of a thread
const K_STRIDE = D + 1u;  // keeps the banks apart
const S_STRIDE = TN + 1u;
var<workgroup> q_tile: array<f32, TM * D>;
var<workgroup> k_tile: array<f32, TN * K_STRIDE>;
var<workgroup> v_tile: array<f32, TN * E>;
var<workgroup> s_tile: array<f32, TM * S_STRIDE>;
var<workgroup> partial: array<f32, WG>;
var<workgroup> factor: array<f32, TM>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let z = wg.z;
  let m0 = wg.x * TM;
  let q0 = (q_batch(z) * M() + m0) * D;
  for (var i = t; i < TM * D; i += WG) {
    q_tile[i] = 0.0;
    if (m0 + i / D < M()) { q_tile[i] = q(q0 + i) * SCALE; }  // the last queries
  }
  var acc: array<f32, OUT>;
  let row = t / LANES;
  var most = LOWEST;  // of all keys so far, the same in each lane of a row
  var total = 0.0;
  for (var n0 = 0u; n0 < N(); n0 += TN) {
    workgroupBarrier();
    for (var i = t; i < TN * D; i += WG) {
      let at = i / D * K_STRIDE + i % D;
      k_tile[at] = 0.0;
      if (n0 + i / D < N()) { k_tile[at] = k((k_batch(z) * N() + n0) * D + i); }  // the last keys
    }
    for (var i = t; i < TN * E; i += WG) {
      v_tile[i] = 0.0;
      if (n0 + i / E < N()) { v_tile[i] = v((v_batch(z) * N() + n0) * E + i); }
    }
    workgroupBarrier();
    let n = t % TN;
    let r0 = t / TN * EACH;
    var scores: array<f32, EACH>;
    for (var r = 0u; r < EACH; r++) { scores[r] = 0.0; }  // naga zeroes no variable of a loop twice
    for (var d = 0u; d < D; d++) {
      let key = k_tile[n * K_STRIDE + d];
      for (var r = 0u; r < EACH; r++) { scores[r] += key * q_tile[(r0 + r) * D + d]; }
    }
    for (var r = 0u; r < EACH; r++) {
      var score = LOWEST;
      let m = m0 + r0 + r;
      if (n0 + n < N() && m < M()) {
        score = scores[r];
#if MASK
        score += mask((z * M() + m) * N() + n0 + n);
#endif
      }
      s_tile[(r0 + r) * S_STRIDE + n] = score;
    }
    workgroupBarrier();
    var high = most;
    for (var j = t % LANES; j < TN; j += LANES) { high = max(high, s_tile[row * S_STRIDE + j]); }
    partial[t] = high;
    workgroupBarrier();
    for (var j = 0u; j < LANES; j++) { high = max(high, partial[row * LANES + j]); }
    var sum = 0.0;
    for (var j = t % LANES; j < TN; j += LANES) {
      let at = row * S_STRIDE + j;
      let weight = select(0.0, exp(s_tile[at] - high), n0 + j < N());
      s_tile[at] = weight;
      sum += weight;
    }
    let shrink = exp(most - high);
    most = high;
    if (t % LANES == 0u) { factor[row] = shrink; }
    workgroupBarrier();
    partial[t] = sum;
    workgroupBarrier();
    total *= shrink;
    for (var j = 0u; j < LANES; j++) { total += partial[row * LANES + j]; }
    for (var o = 0u; o < OUT; o++) {
      let i = t + o * WG;
      if (i < TM * E) { acc[o] *= factor[i / E]; }  // TM * E need not be a multiple of WG
    }
    for (var j = 0u; j < TN; j++) {
      for (var o = 0u; o < OUT; o++) {
        let i = t + o * WG;
        if (i < TM * E) { acc[o] += s_tile[i / E * S_STRIDE + j] * v_tile[j * E + i % E]; }
      }
    }
  }
  workgroupBarrier();
  if (t % LANES == 0u) { factor[row] = total; }
  workgroupBarrier();
  for (var o = 0u; o < OUT; o++) {
    let i = t + o * WG;
    if (i < TM * E && m0 + i / E < M()) {
      put((z * M() + m0) * E + i, acc[o] / factor[i / E]);
    }
  }
}
