// reduce_log_sum_exp  y = log(sum(exp(x))) over the SIZE elements of each row
// shapes    x as rows of SIZE elements, element i of a row at at(row, i) -> y [rows]
// dtypes    x, y: f32 f16; computes in f32
// consts    WG threads; with GROUP they share a row, else each has its own
// dispatch  with GROUP [rows], else [ceil(rows / WG)]
// source    max + log(sum(exp(x - max))), which cannot overflow

#include row_sums.wgsl

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
#include row_start.wgsl
  var most = -3.4e38;  // WGSL has no -inf
  for (var i = first; i < SIZE(); i += STEP) { most = max(most, x(at(row, i))); }
  most = group_max(t, most);
  var sum = 0.0;
  for (var i = first; i < SIZE(); i += STEP) { sum += exp(x(at(row, i)) - most); }
  sum = group_sum(t, sum);
  if (first == 0u) { put(row, most + log(sum)); }
}
