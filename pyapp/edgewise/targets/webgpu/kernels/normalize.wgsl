// normalize y = (x - mean) / sqrt(variance + EPS) * scale + bias, over the SIZE elements of a row
// shapes    x as rows of SIZE elements, element i of a row at at(row, i) -> y alike;
//           scale and bias (flags SCALE, BIAS) at affine(row, i)
// dtypes    x, y, scale, bias: f32 f16; computes in f32
// consts    WG threads; with GROUP they share a row, else each has its own
// dispatch  with GROUP [rows], else [ceil(rows / WG)]
// source    WebNN layerNormalization, instanceNormalization; the mean first, as two sums cancel

#include row_sums.wgsl

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
#include row_start.wgsl
  var sum = 0.0;
  for (var i = first; i < SIZE(); i += STEP) { sum += x(at(row, i)); }
  let mean = group_sum(t, sum) / f32(SIZE());
  sum = 0.0;
  for (var i = first; i < SIZE(); i += STEP) {
    let v = x(at(row, i)) - mean;
    sum += v * v;
  }
  let factor = 1.0 / sqrt(group_sum(t, sum) / f32(SIZE()) + EPS);
  for (var i = first; i < SIZE(); i += STEP) {
    var v = (x(at(row, i)) - mean) * factor;
#if SCALE
    v *= scale(affine(row, i));
#endif
#if BIAS
    v += bias(affine(row, i));
#endif
    put(at(row, i), v);
  }
}
