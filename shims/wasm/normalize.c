// normalize.c  y = (x - mean) / sqrt(variance + epsilon) * scale + bias over each row
// shapes    x, y [outer, n, inner]; a row runs along n; scale, bias [features], or [n] for 0 features
// bindings  x, scale, bias, y
// numbers   n, inner, epsilon, features, whether there is a scale, whether a bias
// items     rows; row r has feature r % features
#include "rows.h"

typedef struct {
  const f32 *scale, *bias;  // or null
  u32 n, inner, features;
  f32 epsilon;
} Norm;

INLINE f32 feature(const f32 *of, u32 at, f32 none) { return of ? of[at] : none; }

// the sum of x - mean, or of its squares
INLINE f32 total(const f32 *x, u32 n, f32 mean, int squares) {
  v128 shift = wasm_f32x4_splat(mean), all = wasm_f32x4_splat(0);
  f32 rest = 0;
  u32 i = 0;
  while (i + 4 <= n) {
    v128 sums[4] = {0};
    for (u32 last = least(n, i + PIECE); i + 16 <= last; i += 16)
      for (u32 k = 0; k < 4; k++) {
        v128 v = wasm_f32x4_sub(load(x + i + 4 * k), shift);
        sums[k] = squares ? madd(v, v, sums[k]) : wasm_f32x4_add(sums[k], v);
      }
    for (; i + 4 <= n && i + 16 > n; i += 4) {
      v128 v = wasm_f32x4_sub(load(x + i), shift);
      sums[0] = squares ? madd(v, v, sums[0]) : wasm_f32x4_add(sums[0], v);
    }
    sums[0] = wasm_f32x4_add(sums[0], sums[1]);
    all = wasm_f32x4_add(all, wasm_f32x4_add(sums[0], wasm_f32x4_add(sums[2], sums[3])));
  }
  for (; i < n; i++) rest += squares ? (x[i] - mean) * (x[i] - mean) : x[i] - mean;
  return rest + sum4(all);
}

static void normalize_row(const Norm *o, const f32 *x, f32 *y, u32 row) {
  f32 mean = total(x, o->n, 0, 0) / (f32)o->n;
  f32 variance = total(x, o->n, mean, 1) / (f32)o->n;
  f32 factor = 1 / __builtin_sqrtf(variance + o->epsilon);
  u32 at = o->features ? row % o->features : 0, along = o->features == 0, i = 0;
  if (!along) factor *= feature(o->scale, at, 1);
  v128 scale = wasm_f32x4_splat(factor), shift = wasm_f32x4_splat(mean);
  v128 bias = wasm_f32x4_splat(along ? 0 : feature(o->bias, at, 0));
  for (; i + 4 <= o->n; i += 4) {
    v128 v = wasm_f32x4_mul(wasm_f32x4_sub(load(x + i), shift), scale);
    if (along && o->scale) v = wasm_f32x4_mul(v, load(o->scale + i));
    if (along && o->bias) v = wasm_f32x4_add(v, load(o->bias + i));
    store(y + i, along ? v : wasm_f32x4_add(v, bias));
  }
  for (; i < o->n; i++) {
    f32 v = (x[i] - mean) * factor;
    if (along) v = v * feature(o->scale, i, 1) + feature(o->bias, i, 0);
    y[i] = along ? v : v + feature(o->bias, at, 0);
  }
}

// m columns from row `row` on, in so many vectors
INLINE void normalize_columns(const Norm *o, const f32 *x, f32 *y, u32 row, u32 m, u32 vectors) {
  v128 n = wasm_f32x4_splat((f32)o->n), mean[4], factor[4];
  for (u32 squares = 0; squares < 2; squares++) {
    v128 all[4] = {0};
    for (u32 i = 0; i < o->n;) {
      v128 sums[4] = {0};
      for (u32 last = least(o->n, i + PIECE / 4); i < last; i++)
        for (u32 k = 0; k < vectors; k++) {
          v128 v = load_first(x + i * o->inner + 4 * k, m);
          if (squares) v = wasm_f32x4_sub(v, mean[k]);
          sums[k] = squares ? madd(v, v, sums[k]) : wasm_f32x4_add(sums[k], v);
        }
      for (u32 k = 0; k < vectors; k++) all[k] = wasm_f32x4_add(all[k], sums[k]);
    }
    for (u32 k = 0; k < vectors; k++) {
      v128 average = wasm_f32x4_div(all[k], n);
      if (!squares) mean[k] = average;
      else factor[k] = wasm_f32x4_div(
          wasm_f32x4_splat(1),
          wasm_f32x4_sqrt(wasm_f32x4_add(average, wasm_f32x4_splat(o->epsilon))));
    }
  }
  for (u32 k = 0; k < vectors; k++) {
    f32 scale[4] = {1, 1, 1, 1}, bias[4] = {0};
    for (u32 j = 0; j < 4 && o->features; j++) {
      u32 at = (row + 4 * k + j) % o->features;
      scale[j] = feature(o->scale, at, 1);
      bias[j] = feature(o->bias, at, 0);
    }
    factor[k] = wasm_f32x4_mul(factor[k], load(scale));
    v128 add = load(bias);
    for (u32 i = 0; i < o->n; i++) {
      v128 v = wasm_f32x4_sub(load_first(x + i * o->inner + 4 * k, m), mean[k]);
      v = wasm_f32x4_mul(v, factor[k]);
      if (!o->features && o->scale) v = wasm_f32x4_mul(v, splat(o->scale + i));
      if (!o->features && o->bias) v = wasm_f32x4_add(v, splat(o->bias + i));
      store_first(y + i * o->inner + 4 * k, o->features ? wasm_f32x4_add(v, add) : v, m);
    }
  }
}

KERNEL(normalize) {
  Norm o = {a[8] ? PTR(const f32, 1) : 0, a[9] ? PTR(const f32, 2) : 0, a[4], a[5], a[7],
            number(a[6])};
  for (u32 at = begin; at < end;) {
    u32 left = least(o.inner - at % o.inner, end - at), first = at / o.inner * o.n * o.inner;
    const f32 *x = PTR(const f32, 0) + first + at % o.inner;
    f32 *y = PTR(f32, 3) + first + at % o.inner;
    if (o.inner == 1) normalize_row(&o, x, y, at), at += 1;
    else if (left >= 16) normalize_columns(&o, x, y, at, 4, 4), at += 16;
    else if (left >= 4) normalize_columns(&o, x, y, at, 4, 1), at += 4;
    else normalize_columns(&o, x, y, at, left, 1), at += left;
  }
}
