// gemm_tiles  y = a b for each batch, in tiles of TM by TN by TK in workgroup memory
// shapes    a [.., M, K], b [.., K, N] -> y [.., M, N]; with CONV see gemm_operands
// dtypes    a, b, y: f32 f16; tiles and sums in f32
// consts    TX by TY threads, each 4 * MV by 4 * NV results; TK steps of K in a tile
// dispatch  [ceil(N / TN), ceil(M / TM), batches]
// source    classic tiling; the next tile is fetched while this one is multiplied

#include gemm_operands.wgsl

const WG = TX * TY;
const TM = TY * 4u * MV;
const TN = TX * 4u * NV;
const A_STRIDE = TM / 4u + 1u;  // one vec4 of padding keeps the banks apart
const B_STRIDE = TN / 4u;
const A_EACH = TM * TK / WG;
const B_EACH = TN * TK / WG;
var<workgroup> a_tile: array<vec4f, TK * A_STRIDE>;
var<workgroup> b_tile: array<vec4f, TK * B_STRIDE>;

// What a thread carries from global memory into the tiles.
struct Ahead {
  a: array<f32, A_EACH>,
  b: array<f32, B_EACH>,
}

fn fetch(at: Batch, t: u32, m0: u32, n0: u32, k0: u32) -> Ahead {
  var ahead = Ahead();  // zeros where M, N or K end within the tile
  for (var i = 0u; i < A_EACH; i++) {
    let m = m0 + (t + i * WG) / TK;
    let k = k0 + t % TK;
    if (m < M() && k < K()) { ahead.a[i] = left(at, m, k); }
  }
  for (var i = 0u; i < B_EACH; i++) {
    let k = k0 + (t + i * WG) / TN;
    let n = n0 + t % TN;
    if (n < N() && k < K()) { ahead.b[i] = right(at, k, n); }
  }
  return ahead;
}

fn store(t: u32, ahead: Ahead) {
  for (var i = 0u; i < A_EACH; i++) {
    let m = (t + i * WG) / TK;
    a_tile[t % TK * A_STRIDE + m / 4u][m % 4u] = ahead.a[i];
  }
  for (var i = 0u; i < B_EACH; i++) {
    let n = t % TN;
    b_tile[(t + i * WG) / TN * B_STRIDE + n / 4u][n % 4u] = ahead.b[i];
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let at = batch(wg.z);
  let n0 = wg.x * TN;
  let m0 = wg.y * TM;
  let tx = t % TX;
  let ty = t / TX;
  var acc: array<vec4f, 4u * MV * NV>;
  var ahead = fetch(at, t, m0, n0, 0u);
  for (var k0 = 0u; k0 < K(); k0 += TK) {
    workgroupBarrier();
    store(t, ahead);
    workgroupBarrier();
    ahead = fetch(at, t, m0, n0, k0 + TK);
    for (var k = 0u; k < TK; k++) {
      for (var i = 0u; i < MV; i++) {
        let u = a_tile[k * A_STRIDE + ty * MV + i];
        for (var j = 0u; j < NV; j++) {
          let v = b_tile[k * B_STRIDE + j * TX + tx];
          let to = (i * NV + j) * 4u;
          acc[to] += u.x * v;
          acc[to + 1u] += u.y * v;
          acc[to + 2u] += u.z * v;
          acc[to + 3u] += u.w * v;
        }
      }
    }
  }
  for (var i = 0u; i < MV * 4u; i++) {
    let m = m0 + ty * 4u * MV + i;
    if (m >= M()) { break; }  // M need not be a multiple of TM
    for (var j = 0u; j < NV; j++) {
      let n = n0 + (j * TX + tx) * 4u;
      let value = acc[(i / 4u * NV + j) * 4u + i % 4u];
      for (var c = 0u; c < 4u; c++) {
        if (n + c < N()) { result(wg.z, m, n + c, value[c]); }
      }
    }
  }
}
