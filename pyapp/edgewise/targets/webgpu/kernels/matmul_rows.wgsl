// matmul_rows  y = finish(x Wᵀ) for many rows of x, W quantised, without workgroup memory
// shapes    x [M, K], codes [ROWS, K], scales [ROWS, K / GROUP]; M is rows(), known at run time
// dtypes    TX of x, TY of y: f32 f16; accumulates in f32
// bindings  x (vec4), codes (u32), scales, y and what finish wants
// consts    each thread has R rows of W and 4 rows of x; ROW0: first row of this part of W
// dispatch  [ceil(ROWS / (16 * R)), ceil(M / 4)], 16 threads
// source    for software adapters, where a barrier and a load from workgroup memory cost as much
//           as any other: codes are unpacked once for 4 rows, x is loaded once for R

#include quant.wgsl
#include finish.wgsl

#if BITS4
const CODES = 8u;
#else
const CODES = 4u;
#endif

fn load(m: u32, at: u32) -> vec4f {
  return vec4f(x[(min(m, rows() - 1u) * K + at) / 4u]);  // the last rows may be past the end
}

@compute @workgroup_size(16)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let first = (wg.x * 16u + t) * R;
  let m = wg.y * 4u;
  var acc: array<vec4f, R>;  // a component for each row of x
  if (first >= ROWS) { return; }
  for (var group = 0u; group < K / GROUP; group++) {
    var part = array<vec4f, R>();  // said outright: naga zeroes no variable of a loop twice
    var sum = vec4f(0.0);
    for (var k = group * GROUP; k < group * GROUP + GROUP; k += CODES) {
      let a0 = load(m, k);
      let a1 = load(m + 1u, k);
      let a2 = load(m + 2u, k);
      let a3 = load(m + 3u, k);
      let one = vec4f(1.0);
      sum += vec4f(dot(a0, one), dot(a1, one), dot(a2, one), dot(a3, one));
#if BITS4
      let b0 = load(m, k + 4u);
      let b1 = load(m + 1u, k + 4u);
      let b2 = load(m + 2u, k + 4u);
      let b3 = load(m + 3u, k + 4u);
      sum += vec4f(dot(b0, one), dot(b1, one), dot(b2, one), dot(b3, one));
#endif
      for (var r = 0u; r < R; r++) {
        let c = codes[(min(first + r, ROWS - 1u) * K + k) / CODES];
#if BITS4
        let low = codes_low(c);
        let high = codes_high(c);
        part[r] += vec4f(dot(low, a0) + dot(high, b0), dot(low, a1) + dot(high, b1),
          dot(low, a2) + dot(high, b2), dot(low, a3) + dot(high, b3));
#else
        let w = codes_of(c);
        part[r] += vec4f(dot(w, a0), dot(w, a1), dot(w, a2), dot(w, a3));
#endif
      }
    }
    for (var r = 0u; r < R; r++) {
      let sm = scale_minimum(min(first + r, ROWS - 1u) * (K / GROUP) + group);
      acc[r] += sm.x * part[r] + sm.y * sum;
    }
  }
  for (var i = 0u; i < min(4u, rows() - m); i++) {
    for (var r = 0u; r < R; r += 2u) {
      if (first + r < ROWS) { finish(m + i, ROW0 + first + r, acc[r][i], acc[r + 1u][i]); }
    }
  }
}
