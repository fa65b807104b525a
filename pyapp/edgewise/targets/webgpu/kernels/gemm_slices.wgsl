// gemm_slices  y = the sum of the parts of each result that gemm_tiles left
// shapes    sums [batches, SLICES, M, N] -> y [batches, M, N]
// dtypes    sums f32, y f32 f16; adds in f32, always in the same order
// dispatch  [ceil(batches * M * N / 64)]

#include gemm_result.wgsl

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let size = M() * N();
  let z = id.x / size;
  if (z >= batches()) { return; }  // the last workgroup
  let i = id.x % size;
  var sum = 0.0;
  for (var s = 0u; s < SLICES; s++) { sum += sums[(z * SLICES + s) * size + i]; }
  result(z, i / N(), i % N(), sum);
}
