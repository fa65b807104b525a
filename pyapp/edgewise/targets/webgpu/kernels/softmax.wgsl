// softmax   y = exp(x - max(x)) / sum(exp(x - max(x))) along one axis
// shapes    x as rows of SIZE elements, element i of a row at at(row, i) -> y alike
// dtypes    x, y: f32 f16; computes in f32
// consts    WG threads; with GROUP they share a row, else each has its own
// dispatch  with GROUP [rows], else [ceil(rows / WG)]
// source    WebNN softmax; max-subtraction avoids overflow above 88.7 in f32

#include row_sums.wgsl

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
#include row_start.wgsl
  var most = -3.4e38;  // WGSL has no -inf; no finite x is far below it
  for (var i = first; i < SIZE(); i += STEP) { most = max(most, x(at(row, i))); }
  most = group_max(t, most);
  var sum = 0.0;
  for (var i = first; i < SIZE(); i += STEP) { sum += exp(x(at(row, i)) - most); }
  sum = group_sum(t, sum);
  for (var i = first; i < SIZE(); i += STEP) {
    put(at(row, i), exp(x(at(row, i)) - most) / sum);
  }
}
