// gemm_rows  y = a b for each batch, without workgroup memory: for software adapters
// shapes    a [.., M, K], b [.., K, N] -> y [.., M, N]; with CONV see gemm_operands
// dtypes    a, b, y: f32 f16; sums in f32
// consts    each thread has 4 columns of b and RM rows of a: 4, with TALL 8, with ONE 1
// dispatch  [ceil(N / 64), ceil(M / RM), batches], 16 threads
// source    a CPU's barriers cost more than the loads that they save; registers reuse each
//           load 4 or RM times

#include gemm_operands.wgsl
#include gemm_result.wgsl
#include outer.wgsl

fn columns(at: Batch, k: u32, n: vec4u) -> vec4f {
  return vec4f(right(at, k, n.x), right(at, k, n.y), right(at, k, n.z), right(at, k, n.w));
}

fn rows(at: Batch, m: vec4u, k: u32) -> vec4f {
  return vec4f(left(at, m.x, k), left(at, m.y, k), left(at, m.z, k), left(at, m.w, k));
}

fn save(z: u32, m: u32, n: u32, value: vec4f) {
  if (m >= M()) { return; }
  result(z, m, n, value.x);
  if (n + 1u < N()) { result(z, m, n + 1u, value.y); }
  if (n + 2u < N()) { result(z, m, n + 2u, value.z); }
  if (n + 3u < N()) { result(z, m, n + 3u, value.w); }
}

fn save_all(z: u32, m: u32, n: u32, c: mat4x4f) {
  save(z, m, n, c[0]);
  save(z, m + 1u, n, c[1]);
  save(z, m + 2u, n, c[2]);
  save(z, m + 3u, n, c[3]);
}

@compute @workgroup_size(16)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let at = batch(wg.z);
  let n0 = (wg.x * 16u + t) * 4u;
  if (n0 >= N()) { return; }  // the last workgroup
  let n = min(n0 + vec4u(0u, 1u, 2u, 3u), vec4u(N() - 1u));  // N and M need not be multiples
#if ONE
  var c = vec4f();
  for (var k = 0u; k < K(); k++) { c += left(at, wg.y, k) * columns(at, k, n); }
  save(wg.z, wg.y, n0, c);
#else
  var c = mat4x4f();
#if TALL
  let m0 = wg.y * 8u;
  let below = min(m0 + vec4u(4u, 5u, 6u, 7u), vec4u(M() - 1u));
  var c_below = mat4x4f();
#else
  let m0 = wg.y * 4u;
#endif
  let m = min(m0 + vec4u(0u, 1u, 2u, 3u), vec4u(M() - 1u));
  for (var k = 0u; k < K(); k++) {
    let v = columns(at, k, n);
    c = add_outer(c, rows(at, m, k), v);
#if TALL
    c_below = add_outer(c_below, rows(at, below, k), v);
#endif
  }
  save_all(wg.z, m0, n0, c);
#if TALL
  save_all(wg.z, m0 + 4u, n0, c_below);
#endif
#endif
}
