// softmax.c  y = exp(x - max(x)) / sum(exp(x - max(x))) of each row
// shapes    x, y [outer, n, inner]; a row runs along n
// numbers   n, inner
// items     rows
#include "math.h"
#include "rows.h"

static void softmax_row(const f32 *x, f32 *y, u32 n) {
  v128 tops[4], sums[4] = {0};
  for (u32 k = 0; k < 4; k++) tops[k] = F(-__builtin_inff());
  u32 i = 0;
  for (; i + 16 <= n; i += 16)
    for (u32 k = 0; k < 4; k++) tops[k] = wasm_f32x4_max(tops[k], load(x + i + 4 * k));
  for (; i < n; i++) tops[0] = wasm_f32x4_max(tops[0], splat(x + i));
  v128 top = wasm_f32x4_max(wasm_f32x4_max(tops[0], tops[1]), wasm_f32x4_max(tops[2], tops[3]));
  top = wasm_f32x4_max(top, wasm_i32x4_shuffle(top, top, 2, 3, 0, 1));
  top = wasm_f32x4_max(top, wasm_i32x4_shuffle(top, top, 1, 0, 3, 2));
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

// m columns, at most four
static void softmax_columns(const f32 *x, f32 *y, u32 n, u32 inner, u32 m) {
  v128 top = F(-__builtin_inff()), sum = F(0);
  for (u32 i = 0; i < n; i++) top = wasm_f32x4_max(top, load_first(x + i * inner, m));
  for (u32 i = 0; i < n; i++) {
    v128 e = exp_below4(wasm_f32x4_sub(load_first(x + i * inner, m), top));
    sum = wasm_f32x4_add(sum, e);
    store_first(y + i * inner, e, m);
  }
  v128 factor = wasm_f32x4_div(F(1), sum);
  for (u32 i = 0; i < n; i++)
    store_first(y + i * inner, wasm_f32x4_mul(load_first(y + i * inner, m), factor), m);
}

KERNEL(softmax) {
  u32 n = a[2], inner = a[3];
  for (u32 at = begin, m; at < end; at += m) {
    u32 first = at / inner * n * inner + at % inner;
    m = least(inner - at % inner, least(end - at, 4));
    const f32 *x = PTR(const f32, 0) + first;
    if (inner == 1) softmax_row(x, PTR(f32, 1) + first, n);
    else softmax_columns(x, PTR(f32, 1) + first, n, inner, m);
  }
}
