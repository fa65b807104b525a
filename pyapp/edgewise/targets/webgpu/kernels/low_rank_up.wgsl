// low_rank_up  put(y + few · upᵀ), of the adapters whose weight is not zero
// shapes    y [M, N], few [M, R], up [R * N], weights [A] -> [M, N]
// dtypes    computes in f32
// bindings  y(i), up(i), weights(i), few, put(i, v)
// consts    RANKS of the adapters; PAIRED: rows of up stand in halves of so many, those of y in pairs
// dispatch  rows of SPREAD workgroups, a thread an element
// source    arXiv:2106.09685

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wg.y * SPREAD + wg.x) * 64u + t;
  if (i >= elements()) { return; }  // the last workgroup
  let n = i % N;
  var row = n;
  if (PAIRED > 0u) {
    let within = n % max(PAIRED, 1u);
    row = n - within + within / 2u + (within % 2u) * (PAIRED / 2u);
  }
  var sum = f32(y(i));
  var first = 0u;
  for (var a = 0u; a < ADAPTERS; a++) {
    let rank = RANKS[a];
    if (f32(weights(a)) != 0.0) {
      let from_few = i / N * R + first;
      let from_up = first * N + row * rank;
      for (var j = 0u; j < rank; j++) { sum += few[from_few + j] * f32(up(from_up + j)); }
    }
    first += rank;
  }
  put(i, T_put(sum));
}
