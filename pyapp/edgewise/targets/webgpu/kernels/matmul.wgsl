// matmul    y = finish(x Wᵀ) for many rows of x, W quantised, in tiles of TM by 64 by 32
// shapes    x [M, K], codes [ROWS, K], scales [ROWS, K / GROUP]; M is rows(), known at run time
// dtypes    TX of x, TY of y: f32 f16; tiles and sums in f32
// bindings  x (vec4), codes (u32), scales, y and what finish wants
// consts    TM = 16 * MR rows of x a tile, MR 4 with flag MR4, else 2; ROW0: first row of this part of W
// dispatch  [ceil(ROWS / 64), ceil(M / TM)], 256 threads, each MR by 4 results
// source    classic shared-memory tiling; K is a multiple of 32 (every ggml block is)

#include quant.wgsl
#include finish.wgsl

#if MR4
alias XV = vec4f;
#else
alias XV = vec2f;
#endif
const TM = 16u * MR;
#if BITS4
const CODES = 8u;
#else
const CODES = 4u;
#endif
const ROW_WORDS = 32u / CODES;
var<workgroup> xs: array<XV, 32u * 16u>;
var<workgroup> ws: array<vec4f, 32u * 16u>;

fn put(k: u32, n: u32, value: f32) { ws[k * 16u + n / 4u][n % 4u] = value; }

// What a thread carries from global memory into the tiles.
const XN = TM * 8u / 256u;
const WN = 64u * ROW_WORDS / 256u;
struct Ahead {
  x: array<vec4f, XN>,
  codes: array<u32, WN>,
  scales: array<vec2f, WN>,
}

fn fetch(t: u32, m0: u32, n0: u32, k0: u32) -> Ahead {
  var ahead = Ahead();
  for (var i = 0u; i < XN; i++) {
    let m = m0 + (t + i * 256u) / 8u;
    let k = k0 + (t % 8u) * 4u;
    if (m < rows()) { ahead.x[i] = vec4f(x[(m * K + k) / 4u]); }  // else zeros: M is any number
  }
  for (var i = 0u; i < WN; i++) {
    let row = min(n0 + (t + i * 256u) / ROW_WORDS, ROWS - 1u);  // ROWS need not be n * 64
    let at = row * K + k0 + (t % ROW_WORDS) * CODES;
    ahead.codes[i] = codes[at / CODES];
    ahead.scales[i] = scale_minimum(at / GROUP);
  }
  return ahead;
}

fn store(t: u32, ahead: Ahead) {
  for (var i = 0u; i < XN; i++) {
    let m = (t + i * 256u) / 8u;
    let k = (t % 8u) * 4u;
    for (var c = 0u; c < 4u; c++) { xs[(k + c) * 16u + m / MR][m % MR] = ahead.x[i][c]; }
  }
  for (var i = 0u; i < WN; i++) {
    let n = (t + i * 256u) / ROW_WORDS;
    let k = (t % ROW_WORDS) * CODES;
    let c = ahead.codes[i];
    let sm = ahead.scales[i];
#if BITS4
    let low = codes_low(c) * sm.x + sm.y;
    let high = codes_high(c) * sm.x + sm.y;
    put(k, n, low.x); put(k + 1u, n, low.y); put(k + 2u, n, low.z); put(k + 3u, n, low.w);
    put(k + 4u, n, high.x); put(k + 5u, n, high.y); put(k + 6u, n, high.z); put(k + 7u, n, high.w);
#else
    let v = codes_of(c) * sm.x + sm.y;
    put(k, n, v.x); put(k + 1u, n, v.y); put(k + 2u, n, v.z); put(k + 3u, n, v.w);
#endif
  }
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let n0 = wg.x * 64u;
  let m0 = wg.y * TM;
  let tx = t % 16u;
  let ty = t / 16u;
  var acc: array<vec4f, MR>;
  var ahead = fetch(t, m0, n0, 0u);
  for (var k0 = 0u; k0 < K; k0 += 32u) {
    workgroupBarrier();
    store(t, ahead);
    workgroupBarrier();
    // The next tile travels while this one is multiplied; after the last, the first again.
    ahead = fetch(t, m0, n0, select(k0 + 32u, 0u, k0 + 32u >= K));
    for (var k = 0u; k < 32u; k++) {
      let a = xs[k * 16u + ty];
      let b = ws[k * 16u + tx];
      for (var i = 0u; i < MR; i++) { acc[i] += a[i] * b; }
    }
  }
  for (var i = 0u; i < MR; i++) {
    let m = m0 + ty * MR + i;
    let row = n0 + tx * 4u;
    if (m >= rows()) { continue; }
    if (row < ROWS) { finish(m, ROW0 + row, acc[i].x, acc[i].y); }
    if (row + 2u < ROWS) { finish(m, ROW0 + row + 2u, acc[i].z, acc[i].w); }
  }
}
