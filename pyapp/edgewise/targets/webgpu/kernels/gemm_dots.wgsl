// gemm_dots  y = a b for few results a batch: threads share the sum of one result
// shapes    a [.., M, K], b [.., K, N] -> y [.., M, N], M or N small; CONV see gemm_operands
// dtypes    a, b, y: f32 f16; sums in f32
// consts    WG threads, LANES of them a result; ALONG_K: neighbours step along K (for one
//           column of b), else along N (for one row of a)
// dispatch  [ceil(M * N * LANES / WG), 1, batches]

#include gemm_operands.wgsl
#include gemm_result.wgsl

const SETS = WG / LANES;
var<workgroup> partial: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
#if ALONG_K
  let lane = t % LANES;
  let out = t / LANES;
#else
  let lane = t / SETS;
  let out = t % SETS;
#endif
  let at = batch(wg.z);
  let i = wg.x * SETS + out;
  let m = min(i / N(), M() - 1u);  // the last workgroup reaches past the end
  let n = i % N();
  var k = lane;
  var sums = vec4f();
  for (; k + 3u * LANES < K(); k += 4u * LANES) {  // four loads on their way at a time
    sums += vec4f(left(at, m, k), left(at, m, k + LANES), left(at, m, k + 2u * LANES),
      left(at, m, k + 3u * LANES)) * vec4f(right(at, k, n), right(at, k + LANES, n),
      right(at, k + 2u * LANES, n), right(at, k + 3u * LANES, n));
  }
  var sum = sums.x + sums.y + sums.z + sums.w;
  for (; k < K(); k += LANES) { sum += left(at, m, k) * right(at, k, n); }
  partial[lane * SETS + out] = sum;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane * SETS + out] += partial[(lane + half) * SETS + out]; }
  }
  if (lane == 0u && i < M() * N()) { result(wg.z, m, n, partial[out]); }
}
