// gemm_tiles  y = a b for each batch, in tiles of TM by TN by TK in workgroup memory
// shapes    a [.., M, K], b [.., K, N] -> y [.., M, N]; with CONV see gemm_operands
// dtypes    a, b, y: f32 f16; tiles and sums in f32
// consts    SIDE by SIDE threads, each 4 by 4 results; TK = SIDE, so that each thread brings
//           four elements of a and of b; TURNED: neighbours of b lie along K, not along N;
//           SLICES: with more than 1, y is [.., SLICES, M, N], parts for gemm_slices to add
// dispatch  [ceil(N / TN), ceil(M / TM), batches * SLICES]
// source    classic tiling; the next tile is fetched while this one is multiplied. No arrays in
//           registers: a loop over one that is not unrolled costs a factor of four (H100). 8 by
//           8 results a thread are 8 % faster on large products there, half as fast on small ones

#include gemm_operands.wgsl
#include gemm_result.wgsl
#include outer.wgsl

const WG = SIDE * SIDE;
const TM = SIDE * 4u;
const TN = SIDE * 4u;
const TK = SIDE;
const A_ROW = SIDE + 1u;  // one vec4 of padding keeps the banks apart
const A_STEP = WG / TK;  // rows of a between a thread's elements
#if TURNED
const B_ROW = A_ROW;
const B_STEP = vec2u(0u, WG / TK);  // steps along K and N
#else
const B_ROW = SIDE;
const B_STEP = vec2u(WG / TN, 0u);
#endif
var<workgroup> a_tile: array<vec4f, TK * A_ROW>;
var<workgroup> b_tile: array<vec4f, TK * B_ROW>;

fn left_in(at: Batch, m: u32, k: u32) -> f32 {
  if (m < M() && k < K()) { return left(at, m, k); }
  return 0.0;  // M and K may end within the tile
}

fn right_in(at: Batch, kn: vec2u) -> f32 {
  if (kn.x < K() && kn.y < N()) { return right(at, kn.x, kn.y); }
  return 0.0;
}

fn fetch_a(at: Batch, m: u32, k: u32) -> vec4f {
  return vec4f(left_in(at, m, k), left_in(at, m + A_STEP, k), left_in(at, m + 2u * A_STEP, k),
    left_in(at, m + 3u * A_STEP, k));
}

fn fetch_b(at: Batch, kn: vec2u) -> vec4f {
  return vec4f(right_in(at, kn), right_in(at, kn + B_STEP), right_in(at, kn + 2u * B_STEP),
    right_in(at, kn + 3u * B_STEP));
}

fn keep_a(k: u32, m: u32, value: f32) { a_tile[k * A_ROW + m / 4u][m % 4u] = value; }
fn keep_b(kn: vec2u, value: f32) { b_tile[kn.x * B_ROW + kn.y / 4u][kn.y % 4u] = value; }

fn save_row(z: u32, m: u32, n: u32, value: vec4f) {
  if (m >= M()) { return; }  // nor need M and N be multiples of the tile
  if (n < N()) { result(z, m, n, value.x); }
  if (n + 1u < N()) { result(z, m, n + 1u, value.y); }
  if (n + 2u < N()) { result(z, m, n + 2u, value.z); }
  if (n + 3u < N()) { result(z, m, n + 3u, value.w); }
}

fn save(z: u32, m: u32, n: u32, c: mat4x4f) {
  save_row(z, m, n, c[0]);
  save_row(z, m + 1u, n, c[1]);
  save_row(z, m + 2u, n, c[2]);
  save_row(z, m + 3u, n, c[3]);
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let at = batch(wg.z / SLICES);
  let depth = (K() + TK * SLICES - 1u) / (TK * SLICES) * TK;  // whole tiles; the last has less
  let first = wg.z % SLICES * depth;
  let end = min(first + depth, K());
  let n0 = wg.x * TN;
  let m0 = wg.y * TM;
  let tx = t % SIDE;
  let ty = t / SIDE;
  let am = t / TK;
  let ak = t % TK;
#if TURNED
  let b_at = vec2u(t % TK, t / TK);
#else
  let b_at = vec2u(t / TN, t % TN);
#endif
  let b_first = vec2u(0u, n0) + b_at;
  var c = mat4x4f();
  var a_next = fetch_a(at, m0 + am, first + ak);
  var b_next = fetch_b(at, vec2u(first, 0u) + b_first);
  for (var k0 = first; k0 < end; k0 += TK) {
    workgroupBarrier();
    keep_a(ak, am, a_next.x);
    keep_a(ak, am + A_STEP, a_next.y);
    keep_a(ak, am + 2u * A_STEP, a_next.z);
    keep_a(ak, am + 3u * A_STEP, a_next.w);
    keep_b(b_at, b_next.x);
    keep_b(b_at + B_STEP, b_next.y);
    keep_b(b_at + 2u * B_STEP, b_next.z);
    keep_b(b_at + 3u * B_STEP, b_next.w);
    workgroupBarrier();
    a_next = fetch_a(at, m0 + am, k0 + TK + ak);
    b_next = fetch_b(at, vec2u(k0 + TK, 0u) + b_first);
    for (var k = 0u; k < TK; k++) {
      let u = a_tile[k * A_ROW + ty];
      let v = b_tile[k * B_ROW + tx];
      c = add_outer(c, u, v);
    }
  }
  let m = m0 + ty * 4u;
  let n = n0 + tx * 4u;
  save(wg.z, m, n, c);
}
