// gemm_rows  y = a b for each batch, without workgroup memory: for software adapters
// shapes    a [.., M, K], b [.., K, N] -> y [.., M, N]; with CONV see gemm_operands
// dtypes    a, b, y: f32 f16; sums in f32
// consts    RM rows of a and RN columns of b a thread
// dispatch  [ceil(N / (16 * RN)), ceil(M / RM), batches], 16 threads
// source    a CPU's barriers cost more than the loads that they save; registers reuse each
//           load RM or RN times

#include gemm_operands.wgsl

@compute @workgroup_size(16)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let at = batch(wg.z);
  let n0 = (wg.x * 16u + t) * RN;
  let m0 = wg.y * RM;
  if (n0 >= N()) { return; }  // the last workgroup
  var acc: array<f32, RM * RN>;
  for (var k = 0u; k < K(); k++) {
    var v: array<f32, RN>;
    for (var j = 0u; j < RN; j++) { v[j] = right(at, k, min(n0 + j, N() - 1u)); }
    for (var i = 0u; i < RM; i++) {
      let u = left(at, min(m0 + i, M() - 1u), k);
      for (var j = 0u; j < RN; j++) { acc[i * RN + j] += u * v[j]; }
    }
  }
  for (var i = 0u; i < min(RM, M() - m0); i++) {
    for (var j = 0u; j < min(RN, N() - n0); j++) {
      result(wg.z, m0 + i, n0 + j, acc[i * RN + j]);
    }
  }
}
