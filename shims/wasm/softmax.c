// softmax.c  y = exp(x - max(x)) / sum(exp(x - max(x))) of each row
// shapes    x, y [outer, n, inner]; a row runs along n
// numbers   n, inner
// items     rows
#include "math.h"
#include "rows.h"

// A NaN is passed over by pmax, and comes back in the sum.
static void softmax_row(const f32 *x, f32 *y, u32 n) {
  v128 tops[4], sums[4] = {0};
  for (u32 k = 0; k < 4; k++) tops[k] = F(-__builtin_inff());
  u32 i = 0;
  for (; i + 16 <= n; i += 16)
    for (u32 k = 0; k < 4; k++) tops[k] = wasm_f32x4_pmax(tops[k], load(x + i + 4 * k));
  for (; i < n; i++) tops[0] = wasm_f32x4_pmax(tops[0], splat(x + i));
  v128 top = wasm_f32x4_pmax(wasm_f32x4_pmax(tops[0], tops[1]), wasm_f32x4_pmax(tops[2], tops[3]));
  top = wasm_f32x4_pmax(top, wasm_i32x4_shuffle(top, top, 2, 3, 0, 1));
  top = wasm_f32x4_pmax(top, wasm_i32x4_shuffle(top, top, 1, 0, 3, 2));
  for (i = 0; i + 16 <= n; i += 16)
    for (u32 k = 0; k < 4; k++) {
      v128 e = exp_below4(wasm_f32x4_sub(load(x + i + 4 * k), top));
      store(y + i + 4 * k, e);
      sums[k] = wasm_f32x4_add(sums[k], e);
    }
  for (; i < n; i += 4) {
    u32 m = least(n - i, 4);
    store_first(y + i, exp_below4(wasm_f32x4_sub(load_first(x + i, m), top)), m);
    sums[0] = wasm_f32x4_add(sums[0], load_first(y + i, m));
  }
  v128 sum = wasm_f32x4_add(wasm_f32x4_add(sums[0], sums[1]), wasm_f32x4_add(sums[2], sums[3]));
  v128 factor = wasm_f32x4_splat(1 / sum4(sum));
  for (i = 0; i + 4 <= n; i += 4) store(y + i, wasm_f32x4_mul(load(y + i), factor));
  if (i < n) store_first(y + i, wasm_f32x4_mul(load_first(y + i, n - i), factor), n - i);
}

// m columns of each of so many vectors
INLINE void softmax_columns(const f32 *x, f32 *y, u32 n, u32 inner, u32 m, u32 vectors) {
  v128 top[4], sum[4] = {0};
  for (u32 k = 0; k < vectors; k++) top[k] = F(-__builtin_inff());
  for (u32 i = 0; i < n; i++)
    for (u32 k = 0; k < vectors; k++)
      top[k] = wasm_f32x4_pmax(top[k], load_first(x + i * inner + 4 * k, m));
  for (u32 i = 0; i < n; i++)
    for (u32 k = 0; k < vectors; k++) {
      v128 e = exp_below4(wasm_f32x4_sub(load_first(x + i * inner + 4 * k, m), top[k]));
      sum[k] = wasm_f32x4_add(sum[k], e);
      store_first(y + i * inner + 4 * k, e, m);
    }
  for (u32 k = 0; k < vectors; k++) sum[k] = wasm_f32x4_div(F(1), sum[k]);
  for (u32 i = 0; i < n; i++)
    for (u32 k = 0; k < vectors; k++) {
      f32 *at = y + i * inner + 4 * k;
      store_first(at, wasm_f32x4_mul(load_first(at, m), sum[k]), m);
    }
}

KERNEL(softmax) {
  u32 n = a[2], inner = a[3];
  for (u32 at = begin, m; at < end; at += m) {
    u32 first = at / inner * n * inner + at % inner, left = least(inner - at % inner, end - at);
    const f32 *x = PTR(const f32, 0) + first;
    f32 *y = PTR(f32, 1) + first;
    m = inner == 1 ? 1 : left >= 16 ? 16 : least(left, 4);
    if (inner == 1) softmax_row(x, y, n);
    else if (m == 16) softmax_columns(x, y, n, inner, 4, 4);
    else if (m == 4) softmax_columns(x, y, n, inner, 4, 1);
    else softmax_columns(x, y, n, inner, m, 1);
  }
}
