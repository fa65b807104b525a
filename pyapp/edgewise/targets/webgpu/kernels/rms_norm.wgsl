// rms_norm  y = x / sqrt(mean(x²) + eps) * weight, for each row
// shapes    x [M, D], weight [D] f32 -> y [M, D]
// dtypes    TX, TY: f32 f16; computes in f32
// bindings  x, weight, y
// dispatch  [M], one workgroup of 64 a row
// source    arXiv:1910.07467

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let base = wg.x * D;
  var sum = 0.0;
  for (var i = t; i < D; i += 64u) {
    let v = f32(x[base + i]);
    sum += v * v;
  }
  partial[t] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half) { partial[t] += partial[t + half]; }
  }
  workgroupBarrier();
  let factor = inverseSqrt(partial[0] / f32(D) + EPS);
  for (var i = t; i < D; i += 64u) { y[base + i] = TY(f32(x[base + i]) * factor * weight[i]); }
}
