// low_rank_down  few = weight * scale * x · downᵀ; rows of adapters whose weight is zero stay as they are
// shapes    x [M, K], down [R, K], weights [A] -> few [M, R]
// dtypes    computes in f32
// bindings  x(i), down(i), weights(i), few
// consts    OWNERS, SCALES: of each row, the adapter and what it multiplies with; WG threads
// dispatch  [R, M], one workgroup an element
// source    arXiv:2106.09685

var<workgroup> partial: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let weight = f32(weights(OWNERS[wg.x]));
  if (weight == 0.0) { return; }
  var sum = 0.0;
  for (var i = t; i < K; i += WG) { sum += f32(x(wg.y * K + i)) * f32(down(wg.x * K + i)); }
  partial[t] = sum;
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half) { partial[t] += partial[t + half]; }
  }
  if (t == 0u) { few[wg.y * R + wg.x] = partial[0] * weight * SCALES[wg.x]; }
}
