// attention_whole  softmax(q kᵀ * SCALE + mask) v for each batch, 32 queries by 32 keys at a time
// shapes    q [.., S, D], k [.., L, D], v [.., L, DV], mask -> y [.., S, DV], DV <= 128;
//           batch z of y takes q_batch(z), k_batch(z), v_batch(z) of the inputs; element i of the
//           scores [.., S, L] takes mask(mask_at(i))
// dtypes    f32 f16; computes in f32
// consts    D, DV, SCALE; flags MASK, and PART1 PART2 PART3 for DV over 32, 64, 96
// dispatch  [ceil(S / 32), batches], 64 threads, each with 4 by 4 scores, then 4 by 4 results of
//           every 32 columns of v
// source    FlashAttention, arXiv:2205.14135; products as in gemm_tiles. Twice as fast as three
//           kernels for 192 heads of 128 by 32, as fast for 16 of 1024 by 64 (H100), and no scores
//           in memory

#include outer.wgsl

const ROW = 9u;  // 32 numbers, and one vec4 of padding that keeps the banks apart
const LOWEST = -3.4e38;  // WGSL has no -inf
var<workgroup> left: array<vec4f, 32u * ROW>;  // [d, query], then the weights [key, query]
var<workgroup> right: array<vec4f, 32u * ROW>;  // [d, key], then [key, column]
var<workgroup> shared_rows: array<vec4f, 64>;  // of four rows, by each of eight threads

fn keep_left(i: u32, j: u32, value: f32) { left[i * ROW + j / 4u][j % 4u] = value; }
fn keep_right(i: u32, j: u32, value: f32) { right[i * ROW + j / 4u][j % 4u] = value; }

fn q_in(z: u32, s: u32, d: u32) -> f32 {
  if (s < S() && d < D) { return q((q_batch(z) * S() + s) * D + d); }
  return 0.0;  // S, L, D and DV need not be multiples of 32
}

fn k_in(z: u32, key: u32, d: u32) -> f32 {
  if (key < L() && d < D) { return k((k_batch(z) * L() + key) * D + d); }
  return 0.0;
}

fn v_in(z: u32, key: u32, d: u32) -> f32 {
  if (key < L() && d < DV) { return v((v_batch(z) * L() + key) * DV + d); }
  return 0.0;
}

fn present(key: u32) -> vec4<bool> { return key + vec4u(0u, 1u, 2u, 3u) < vec4u(L()); }

fn scores(z: u32, s: u32, key: u32, products: vec4f) -> vec4f {
  var made = products * SCALE;
#if MASK
  let row = (z * S() + min(s, S() - 1u)) * L();
  let at = row + min(key + vec4u(0u, 1u, 2u, 3u), vec4u(L() - 1u));
  made += vec4f(mask(mask_at(at.x)), mask(mask_at(at.y)), mask(mask_at(at.z)),
    mask(mask_at(at.w)));
#endif
  return select(vec4f(LOWEST), made, present(key));
}

fn weights(made: vec4f, most: f32, key: u32) -> vec4f {
  return select(vec4f(), exp(made - most), present(key));
}

fn highest(a: vec4f) -> f32 { return max(max(a.x, a.y), max(a.z, a.w)); }
fn total(a: vec4f) -> f32 { return a.x + a.y + a.z + a.w; }

fn corrected(acc: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(acc[0] * by.x, acc[1] * by.y, acc[2] * by.z, acc[3] * by.w);
}

// The rows of v from `base`, its columns from `d0`, times the weights. All threads come here.
fn mixed(z: u32, t: u32, base: u32, d0: u32, before: mat4x4f) -> mat4x4f {
  workgroupBarrier();
  let d = t % 32u;
  for (var r = t / 32u; r < 32u; r += 8u) {
    let values = vec4f(v_in(z, base + r, d0 + d), v_in(z, base + r + 2u, d0 + d),
      v_in(z, base + r + 4u, d0 + d), v_in(z, base + r + 6u, d0 + d));
    keep_right(r, d, values.x);
    keep_right(r + 2u, d, values.y);
    keep_right(r + 4u, d, values.z);
    keep_right(r + 6u, d, values.w);
  }
  workgroupBarrier();
  var acc = before;
  for (var j = 0u; j < 32u; j++) {
    acc = add_outer(acc, left[j * ROW + t / 8u], right[j * ROW + t % 8u]);
  }
  return acc;
}

fn save_row(z: u32, s: u32, d: u32, value: vec4f) {
  if (s >= S()) { return; }
  let to = (z * S() + s) * DV + d;
  if (d < DV) { put(to, value.x); }
  if (d + 1u < DV) { put(to + 1u, value.y); }
  if (d + 2u < DV) { put(to + 2u, value.z); }
  if (d + 3u < DV) { put(to + 3u, value.w); }
}

fn save(z: u32, s: u32, d: u32, acc: mat4x4f, sums: vec4f) {
  save_row(z, s, d, acc[0] / sums.x);
  save_row(z, s + 1u, d, acc[1] / sums.y);
  save_row(z, s + 2u, d, acc[2] / sums.z);
  save_row(z, s + 3u, d, acc[3] / sums.w);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u) {
  let tx = t % 8u;
  let ty = t / 8u;
  let z = wg.y;
  let s = wg.x * 32u + ty * 4u;
  var most = vec4f(LOWEST);
  var sums = vec4f();  // of this thread's keys alone
  var acc0 = mat4x4f();
#if PART1
  var acc1 = mat4x4f();
#endif
#if PART2
  var acc2 = mat4x4f();
#endif
#if PART3
  var acc3 = mat4x4f();
#endif
  for (var base = 0u; base < L(); base += 32u) {
    var c = mat4x4f();
    for (var d0 = 0u; d0 < D; d0 += 32u) {
      workgroupBarrier();
      let d = t % 32u;
      for (var r = t / 32u; r < 32u; r += 8u) {  // eight loads on their way at a time
        let row = wg.x * 32u + r;
        let key = base + r;
        let queries = vec4f(q_in(z, row, d0 + d), q_in(z, row + 2u, d0 + d),
          q_in(z, row + 4u, d0 + d), q_in(z, row + 6u, d0 + d));
        let keys = vec4f(k_in(z, key, d0 + d), k_in(z, key + 2u, d0 + d),
          k_in(z, key + 4u, d0 + d), k_in(z, key + 6u, d0 + d));
        keep_left(d, r, queries.x);
        keep_left(d, r + 2u, queries.y);
        keep_left(d, r + 4u, queries.z);
        keep_left(d, r + 6u, queries.w);
        keep_right(d, r, keys.x);
        keep_right(d, r + 2u, keys.y);
        keep_right(d, r + 4u, keys.z);
        keep_right(d, r + 6u, keys.w);
      }
      workgroupBarrier();
      for (var i = 0u; i < 32u; i++) {
        c = add_outer(c, left[i * ROW + ty], right[i * ROW + tx]);
      }
    }
    let key = base + tx * 4u;
    let c0 = scores(z, s, key, c[0]);
    let c1 = scores(z, s + 1u, key, c[1]);
    let c2 = scores(z, s + 2u, key, c[2]);
    let c3 = scores(z, s + 3u, key, c[3]);
    shared_rows[t] = vec4f(highest(c0), highest(c1), highest(c2), highest(c3));
    workgroupBarrier();
    let before = most;
    for (var j = 0u; j < 8u; j++) { most = max(most, shared_rows[ty * 8u + j]); }
    let p0 = weights(c0, most.x, key);
    let p1 = weights(c1, most.y, key);
    let p2 = weights(c2, most.z, key);
    let p3 = weights(c3, most.w, key);
    let by = exp(before - most);
    sums = sums * by + vec4f(total(p0), total(p1), total(p2), total(p3));
    left[(tx * 4u) * ROW + ty] = vec4f(p0.x, p1.x, p2.x, p3.x);
    left[(tx * 4u + 1u) * ROW + ty] = vec4f(p0.y, p1.y, p2.y, p3.y);
    left[(tx * 4u + 2u) * ROW + ty] = vec4f(p0.z, p1.z, p2.z, p3.z);
    left[(tx * 4u + 3u) * ROW + ty] = vec4f(p0.w, p1.w, p2.w, p3.w);
    acc0 = mixed(z, t, base, 0u, corrected(acc0, by));
#if PART1
    acc1 = mixed(z, t, base, 32u, corrected(acc1, by));
#endif
#if PART2
    acc2 = mixed(z, t, base, 64u, corrected(acc2, by));
#endif
#if PART3
    acc3 = mixed(z, t, base, 96u, corrected(acc3, by));
#endif
  }
  workgroupBarrier();
  shared_rows[t] = sums;
  workgroupBarrier();
  sums = vec4f();
  for (var j = 0u; j < 8u; j++) { sums += shared_rows[ty * 8u + j]; }
  save(z, s, tx * 4u, acc0, sums);
#if PART1
  save(z, s, 32u + tx * 4u, acc1, sums);
#endif
#if PART2
  save(z, s, 64u + tx * 4u, acc2, sums);
#endif
#if PART3
  save(z, s, 96u + tx * 4u, acc3, sums);
#endif
}
