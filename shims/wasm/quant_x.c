// quant_x.c  quantises rows of activations for quant.c, each block of 32 by its largest magnitude
// shapes     x [M, K] -> tiles of rows (quant.h); what lies beyond K is zero
// bindings   0 x, 1 norm [K] (x where there is none), 2 tiles
// numbers    rows in a tile, rows M, width K, whether there is a norm, its eps
// items      tiles
// error      of an element: half a step, which is largest of the block / 32767
#include "quant.h"

// The sums of the codes of each half, in turn
INLINE v128 put_codes(u8 *to, const v128 *q) {
  v128 total[2];
  for (int half = 0; half < 2; half++) {
    const v128 *some = q + 4 * half;
    total[half] = wasm_i32x4_add(wasm_i32x4_add(some[0], some[1]), wasm_i32x4_add(some[2], some[3]));
    store(to + 32 * half, wasm_i16x8_narrow_i32x4(some[0], some[1]));
    store(to + 32 * half + 16, wasm_i16x8_narrow_i32x4(some[2], some[3]));
  }
  v128 sum = wasm_i32x4_add(wasm_i32x4_shuffle(total[0], total[1], 0, 4, 0, 4),
                            wasm_i32x4_shuffle(total[0], total[1], 1, 5, 1, 5));
  return wasm_i32x4_add(sum, wasm_i32x4_add(wasm_i32x4_shuffle(total[0], total[1], 2, 6, 2, 6),
                                            wasm_i32x4_shuffle(total[0], total[1], 3, 7, 3, 7)));
}

INLINE void put_block(u8 *codes, u8 *meta, const v128 *x) {
  v128 high = wasm_f32x4_abs(x[0]);
  for (int i = 1; i < 8; i++) high = wasm_f32x4_pmax(high, wasm_f32x4_abs(x[i]));
  high = wasm_f32x4_pmax(high, wasm_i32x4_shuffle(high, high, 2, 3, 0, 1));
  high = wasm_f32x4_pmax(high, wasm_i32x4_shuffle(high, high, 1, 0, 3, 2));
  f32 largest = wasm_f32x4_extract_lane(high, 0);
  v128 inverse = wasm_f32x4_splat(largest > 1e-30f ? 32767.0f / largest : 0.0f), q[8];
  for (int i = 0; i < 8; i++)
    q[i] = wasm_i32x4_sub(madd(x[i], inverse, F(MAGIC)), I(0x4b400000));
  v128 sums = wasm_f32x4_convert_i32x4(put_codes(codes, q));
  v128 both = wasm_f32x4_add(sums, wasm_i32x4_shuffle(sums, sums, 1, 0, 3, 2));
  v128 all = wasm_i32x4_shuffle(F(1.0f), sums, 0, 4, 5, 5);
  all = wasm_i32x4_shuffle(all, both, 0, 1, 2, 4);
  store(meta, wasm_f32x4_mul(all, wasm_f32x4_splat(largest / 32767.0f * UP)));
}

// 1 / sqrt(mean(x^2) + eps)
INLINE f32 inverse_root(const f32 *x, u32 width, f32 eps) {
  v128 sum = F(0.0f);
  u32 k = 0;
  for (; k + 4 <= width; k += 4) sum = madd(load(x + k), load(x + k), sum);
  f32 total = sum4(sum);
  for (; k < width; k++) total += x[k] * x[k];
  return 1.0f / __builtin_sqrtf(total / (f32)width + eps);
}

KERNEL(quant_x) {
  u32 rows = a[3], m = a[4], width = a[5], normed = a[6];
  u32 n = (width + 31) / 32, block = rows * X_BYTES;
  for (u32 row = begin * rows; row < least(end * rows, m); row++) {
    const f32 *x = PTR(const f32, 0) + row * width, *norm = PTR(const f32, 1);
    v128 by = wasm_f32x4_splat(normed ? inverse_root(x, width, number(a[7])) : 1.0f);
    u32 r = row % rows;
    u8 *to = PTR(u8, 2) + row / rows * n * block;
    for (u32 b = 0; b < n; b++, to += block) {
      v128 v[8];
      u32 there = least(width - 32 * b, 32) / 4;  // K is a multiple of 16
      for (u32 i = 0; i < 8; i++) {
        v[i] = i < there ? load(x + 32 * b + 4 * i) : F(0.0f);
        if (normed && i < there)
          v[i] = wasm_f32x4_mul(wasm_f32x4_mul(v[i], by), load(norm + 32 * b + 4 * i));
      }
      put_block(to + 64 * r, to + 64 * rows + 16 * r, v);
    }
  }
}
