// attention.c  softmax(q k' * scale) v over the rows of a KV state, each query up to its own key
// shapes       q [S, H, D], k and v [T, KH, D], y as q; query s sees the keys 0 to past + s
// bindings     0 q, 1 k, 2 v, 3 y
// numbers      H, KH, D, past, scale; S (attention_tiles alone)
// items        attention_rows: heads of queries; attention_tiles: KH times tiles of QUERIES / (H / KH)
// source       online softmax: Milakov and Gimelshein 2018
#include "math.h"

#define KEYS 64

// four dot products of x with rows of y
INLINE v128 dots4(const f32 *x, const f32 *y, u32 stride, u32 size) {
  v128 s0 = F(0.0f), s1 = s0, s2 = s0, s3 = s0;
  u32 i = 0;
  for (; i + 4 <= size; i += 4) {
    v128 v = load(x + i);
    s0 = madd(v, load(y + i), s0);
    s1 = madd(v, load(y + stride + i), s1);
    s2 = madd(v, load(y + 2 * stride + i), s2);
    s3 = madd(v, load(y + 3 * stride + i), s3);
  }
  v128 a = wasm_f32x4_add(wasm_i32x4_shuffle(s0, s1, 0, 4, 1, 5), wasm_i32x4_shuffle(s0, s1, 2, 6, 3, 7));
  v128 b = wasm_f32x4_add(wasm_i32x4_shuffle(s2, s3, 0, 4, 1, 5), wasm_i32x4_shuffle(s2, s3, 2, 6, 3, 7));
  v128 sum = wasm_f32x4_add(wasm_i32x4_shuffle(a, b, 0, 1, 4, 5), wasm_i32x4_shuffle(a, b, 2, 3, 6, 7));
  for (; i < size; i++) {
    v128 rest = wasm_f32x4_make(y[i], y[stride + i], y[2 * stride + i], y[3 * stride + i]);
    sum = madd(wasm_f32x4_splat(x[i]), rest, sum);
  }
  return sum;
}

INLINE f32 dot(const f32 *x, const f32 *y, u32 size) {
  v128 sum = F(0.0f);
  u32 i = 0;
  for (; i + 4 <= size; i += 4) sum = madd(load(x + i), load(y + i), sum);
  f32 total = sum4(sum);
  for (; i < size; i++) total += x[i] * y[i];
  return total;
}

// y[i] = y[i] * keep + the sum over rows of p[t] * v[t][i]
INLINE void mix(f32 *y, f32 keep, const f32 *p, const f32 *v, u32 stride, u32 rows, u32 size) {
  u32 i = 0;
  v128 by = wasm_f32x4_splat(keep);
  for (; i + 16 <= size; i += 16) {
    v128 s[4];
    for (u32 j = 0; j < 4; j++) s[j] = wasm_f32x4_mul(load(y + i + 4 * j), by);
    for (u32 t = 0; t < rows; t++) {
      v128 share = splat(p + t);
      for (u32 j = 0; j < 4; j++) s[j] = madd(share, load(v + t * stride + i + 4 * j), s[j]);
    }
    for (u32 j = 0; j < 4; j++) store(y + i + 4 * j, s[j]);
  }
  for (; i + 4 <= size; i += 4) {
    v128 s = wasm_f32x4_mul(load(y + i), by);
    for (u32 t = 0; t < rows; t++) s = madd(splat(p + t), load(v + t * stride + i), s);
    store(y + i, s);
  }
  for (; i < size; i++) {
    f32 s = y[i] * keep;
    for (u32 t = 0; t < rows; t++) s += p[t] * v[t * stride + i];
    y[i] = s;
  }
}

typedef struct {
  f32 largest, total;
} Soft;

// Makes shares of n scores; what was added up before is to be kept by the factor returned
INLINE f32 soften(Soft *soft, f32 *p, u32 n) {
  for (u32 t = n; t % 4; t++) p[t] = -__builtin_inff();
  v128 high = load(p);
  for (u32 t = 4; t < n; t += 4) high = wasm_f32x4_pmax(high, load(p + t));
  high = wasm_f32x4_pmax(high, wasm_i32x4_shuffle(high, high, 2, 3, 0, 1));
  high = wasm_f32x4_pmax(high, wasm_i32x4_shuffle(high, high, 1, 0, 3, 2));
  f32 largest = wasm_f32x4_extract_lane(high, 0);
  largest = largest > soft->largest ? largest : soft->largest;
  v128 off = wasm_f32x4_splat(largest), sum = F(0.0f);
  for (u32 t = 0; t < n; t += 4) {
    v128 share = exp_below4(wasm_f32x4_sub(load(p + t), off));
    store(p + t, share);
    sum = wasm_f32x4_add(sum, share);
  }
  f32 keep = wasm_f32x4_extract_lane(exp_below4(wasm_f32x4_splat(soft->largest - largest)), 0);
  soft->largest = largest;
  soft->total = soft->total * keep + sum4(sum);
  return keep;
}

KERNEL(attention_rows) {
  u32 heads = a[4], kv_heads = a[5], size = a[6], past = a[7], stride = kv_heads * size;
  f32 p[KEYS];
  for (u32 item = begin; item < end; item++) {
    u32 s = item / heads, at = item % heads / (heads / kv_heads) * size, keys = past + s + 1;
    const f32 *q = PTR(const f32, 0) + item * size;
    f32 *y = PTR(f32, 3) + item * size;
    Soft soft = {-1e30f, 0};
    for (u32 i = 0; i < size; i++) y[i] = 0;
    for (u32 t0 = 0; t0 < keys; t0 += KEYS) {
      u32 n = least(KEYS, keys - t0), t = 0;
      const f32 *k = PTR(const f32, 1) + t0 * stride + at, *v = PTR(const f32, 2) + t0 * stride + at;
      v128 scale = wasm_f32x4_splat(number(a[8]));
      for (; t + 4 <= n; t += 4)
        store(p + t, wasm_f32x4_mul(dots4(q, k + t * stride, stride, size), scale));
      for (; t < n; t++) p[t] = dot(q, k + t * stride, size) * number(a[8]);
      f32 keep = soften(&soft, p, n);
      mix(y, keep, p, v, stride, n, size);
    }
    for (u32 i = 0; i < size; i++) y[i] /= soft.total;
  }
}
