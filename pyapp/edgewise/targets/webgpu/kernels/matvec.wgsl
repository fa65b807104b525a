// matvec    y = finish(W x) for one row x, W quantised; with NORM, x is first RMS-normalised
// shapes    x [K], codes [ROWS, K], scales [ROWS, K / GROUP], norm [K]
// dtypes    TX of x, TY of y: f32 f16; accumulates in f32
// bindings  x, codes (vec4u), scales, [norm], y and what finish wants
// consts    LANES share R rows each; WG threads; UNIT codes in a vec4u; ROW0: first row of this part
// dispatch  ceil(ROWS / (R * WG / LANES)) workgroups
// needs     subgroups of at least LANES, laid out by local index, with SUBGROUPS
// source    sum(c*d + m) x = d * sum(c x) + m * sum(x) in each group

#include quant.wgsl
#include finish.wgsl

const UNITS = K / UNIT;
const SETS = WG / LANES;
#if SHARED
var<workgroup> partial: array<f32, WG * (R + 1u)>;
#endif

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let lane = t % LANES;
  let first = (wg.x * SETS + t / LANES) * R;
  var acc: array<f32, R + 1u>;  // the last one is sum(x*x), for the norm
  for (var u = lane; u < UNITS; u += LANES) {
    var xs: array<vec4f, UNIT / 4u>;
    var sum = 0.0;
    for (var i = 0u; i < UNIT / 4u; i++) {
      var v = vec4f(x[u * (UNIT / 4u) + i]);
#if NORM
      acc[R] += dot(v, v);
      v *= norm[u * (UNIT / 4u) + i];
#endif
      xs[i] = v;
      sum += v.x + v.y + v.z + v.w;
    }
    for (var r = 0u; r < R; r++) {
      let row = min(first + r, ROWS - 1u);  // the last set may reach past the end
      let c = codes[row * UNITS + u];
      let sm = scale_minimum(row * (K / GROUP) + u * UNIT / GROUP);
#if BITS4
      let d = dot(codes_low(c.x), xs[0]) + dot(codes_high(c.x), xs[1])
        + dot(codes_low(c.y), xs[2]) + dot(codes_high(c.y), xs[3])
        + dot(codes_low(c.z), xs[4]) + dot(codes_high(c.z), xs[5])
        + dot(codes_low(c.w), xs[6]) + dot(codes_high(c.w), xs[7]);
#else
      let d = dot(codes_of(c.x), xs[0]) + dot(codes_of(c.y), xs[1])
        + dot(codes_of(c.z), xs[2]) + dot(codes_of(c.w), xs[3]);
#endif
      acc[r] += sm.x * d + sm.y * sum;
    }
  }
#if SUBGROUPS
  for (var mask = LANES / 2u; mask > 0u; mask /= 2u) {
    for (var r = 0u; r <= R; r++) { acc[r] += subgroupShuffleXor(acc[r], mask); }
  }
#endif
#if SHARED
  for (var r = 0u; r <= R; r++) { partial[r * WG + t] = acc[r]; }
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      for (var r = 0u; r <= R; r++) { partial[r * WG + t] += partial[r * WG + t + half]; }
    }
  }
  for (var r = 0u; r <= R; r++) { acc[r] = partial[r * WG + t]; }
#endif
  if (lane != 0u) { return; }
#if NORM
  let factor = inverseSqrt(acc[R] / f32(K) + EPS);
#else
  let factor = 1.0;
#endif
  for (var r = 0u; r < R; r += 2u) {
    let row = first + r;
    if (row < ROWS) { finish(0u, ROW0 + row, acc[r] * factor, acc[r + 1u] * factor); }
  }
}
