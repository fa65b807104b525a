// quant_x.c  quantises rows of activations for quant.c, each block of 32 by its largest magnitude
// shapes     x [M, K] -> tiles of rows (quant.h); what lies beyond K is zero
// bindings   0 x, 1 norm [K] (x where there is none), 2 tiles
// numbers    bits of the matrix, rows in a tile, rows M, width K, whether there is a norm, its eps
// items      tiles
// error      of an element: half a step of its block, largest / 127 / 2; of 8-bit matrices
//            largest / 32767 / 2
#include "quant.h"

typedef struct {
  u8 *codes, *meta;
} Place;

// sums of the codes of each half
INLINE v128 put8(u8 *to, const v128 *q) {
  v128 total[2];
  for (int half = 0; half < 2; half++) {
    v128 a = wasm_i16x8_narrow_i32x4(q[4 * half], q[4 * half + 1]);
    v128 b = wasm_i16x8_narrow_i32x4(q[4 * half + 2], q[4 * half + 3]);
    store(to + 16 * half, wasm_i8x16_narrow_i16x8(a, b));
    total[half] = wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_add(a, b));
  }
  total[0] = wasm_i32x4_add(wasm_i32x4_shuffle(total[0], total[1], 0, 1, 4, 5),
                            wasm_i32x4_shuffle(total[0], total[1], 2, 3, 6, 7));
  return wasm_i32x4_add(wasm_i32x4_shuffle(total[0], total[0], 0, 2, 0, 2),
                        wasm_i32x4_shuffle(total[0], total[0], 1, 3, 1, 3));
}

INLINE v128 put16(u8 *to, const v128 *q) {
  v128 total[2];
  for (int half = 0; half < 2; half++) {
    v128 a = wasm_i32x4_add(q[4 * half], q[4 * half + 1]);
    v128 b = wasm_i32x4_add(q[4 * half + 2], q[4 * half + 3]);
    total[half] = wasm_i32x4_add(a, b);
    store(to + 32 * half, wasm_i16x8_narrow_i32x4(q[4 * half], q[4 * half + 1]));
    store(to + 32 * half + 16, wasm_i16x8_narrow_i32x4(q[4 * half + 2], q[4 * half + 3]));
  }
  total[0] = wasm_i32x4_add(wasm_i32x4_shuffle(total[0], total[1], 0, 1, 4, 5),
                            wasm_i32x4_shuffle(total[0], total[1], 2, 3, 6, 7));
  return wasm_i32x4_add(wasm_i32x4_shuffle(total[0], total[0], 0, 2, 0, 2),
                        wasm_i32x4_shuffle(total[0], total[0], 1, 3, 1, 3));
}

INLINE void put_block(const v128 *x, u32 bits, Place to) {
  v128 high = wasm_f32x4_abs(x[0]);
  for (int i = 1; i < 8; i++) high = wasm_f32x4_pmax(high, wasm_f32x4_abs(x[i]));
  high = wasm_f32x4_pmax(high, wasm_i32x4_shuffle(high, high, 2, 3, 0, 1));
  high = wasm_f32x4_pmax(high, wasm_i32x4_shuffle(high, high, 1, 0, 3, 2));
  f32 largest = wasm_f32x4_extract_lane(high, 0), most = bits == 8 ? 32767.0f : 127.0f;
  v128 inverse = wasm_f32x4_splat(largest > 1e-30f ? most / largest : 0.0f), q[8];
  for (int i = 0; i < 8; i++) {
    v128 near = madd(x[i], inverse, F(MAGIC));
    q[i] = wasm_i32x4_sub(near, I(0x4b400000));
  }
  v128 sums = bits == 8 ? put16(to.codes, q) : put8(to.codes, q);
  sums = wasm_f32x4_convert_i32x4(sums);
  v128 both = wasm_f32x4_add(sums, wasm_i32x4_shuffle(sums, sums, 1, 0, 3, 2));
  v128 meta = wasm_i32x4_shuffle(F(1.0f), wasm_i32x4_shuffle(sums, both, 0, 1, 4, 4), 0, 4, 5, 6);
  store(to.meta, wasm_f32x4_mul(meta, wasm_f32x4_splat(largest / most * UP)));
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

INLINE void quantise(const u32 *a, u32 tile, u32 bits) {
  u32 rows = a[4], m = a[5], width = a[6], codes = bits == 8 ? 64 : 32;
  u32 n = (width + 31) / 32, block = rows * (codes + 16);
  for (u32 r = 0; r < rows && tile * rows + r < m; r++) {
    const f32 *x = PTR(const f32, 0) + (tile * rows + r) * width, *norm = PTR(const f32, 1);
    v128 by = wasm_f32x4_splat(a[7] ? inverse_root(x, width, number(a[8])) : 1.0f);
    u8 *to = PTR(u8, 2) + tile * n * block;
    for (u32 b = 0; b < n; b++, to += block) {
      v128 v[8];
      u32 there = least(width - 32 * b, 32) / 4;  // K is a multiple of 16
      for (u32 i = 0; i < 8; i++) {
        v[i] = i < there ? load(x + 32 * b + 4 * i) : F(0.0f);
        if (a[7] && i < there)
          v[i] = wasm_f32x4_mul(wasm_f32x4_mul(v[i], by), load(norm + 32 * b + 4 * i));
      }
      put_block(v, bits, (Place){to + r * codes, to + rows * codes + 16 * r});
    }
  }
}

KERNEL(quant_x) {
  for (u32 tile = begin; tile < end; tile++)
    if (a[3] == 8) quantise(a, tile, 8);
    else quantise(a, tile, 4);
}
