// llm.h  what kernels of language models share
#pragma once
#include "math.h"

// cos and sin of position * frequency, n of each
INLINE void angles(f32 position, const f32 *frequencies, u32 n, f32 *cosines, f32 *sines) {
  v128 at = wasm_f32x4_splat(position);
  for (u32 i = 0; i < n; i += 4) {  // both have room for whole vectors
    v128 angle = wasm_f32x4_mul(at, load(frequencies + i));
    store(cosines + i, cos4(angle));
    store(sines + i, sin4(angle));
  }
}

// Turns pairs of the first `dims` of a head: neighbours, or half of `dims` apart; the rest is copied
INLINE void turn(f32 *y, const f32 *x, u32 size, u32 dims, int neighbours, const f32 *cosines,
                 const f32 *sines) {
  u32 half = dims / 2, i = 0;
  if (neighbours)
    for (; i + 2 <= half; i += 2) {
      v128 v = load(x + 2 * i), swapped = wasm_i32x4_shuffle(v, v, 1, 0, 3, 2);
      v128 c = wasm_v128_load64_zero(cosines + i), s = wasm_v128_load64_zero(sines + i);
      c = wasm_i32x4_shuffle(c, c, 0, 0, 1, 1);
      s = wasm_v128_xor(wasm_i32x4_shuffle(s, s, 0, 0, 1, 1),
                        wasm_i32x4_const((i32)0x80000000, 0, (i32)0x80000000, 0));
      store(y + 2 * i, madd(v, c, wasm_f32x4_mul(swapped, s)));
    }
  else
    for (; i + 4 <= half; i += 4) {
      v128 u = load(x + i), v = load(x + half + i), c = load(cosines + i), s = load(sines + i);
      store(y + i, wasm_f32x4_sub(wasm_f32x4_mul(u, c), wasm_f32x4_mul(v, s)));
      store(y + half + i, madd(u, s, wasm_f32x4_mul(v, c)));
    }
  for (; i < half; i++) {
    u32 first = neighbours ? 2 * i : i, second = neighbours ? 2 * i + 1 : half + i;
    f32 u = x[first], v = x[second];
    y[first] = u * cosines[i] - v * sines[i];
    y[second] = u * sines[i] + v * cosines[i];
  }
  for (u32 j = dims; j < size; j++) y[j] = x[j];
}

// n floats to float32 or float16
INLINE void put_floats(void *to, u32 at, const f32 *x, u32 n, int half) {
  if (!half) {
    __builtin_memcpy((f32 *)to + at, x, n * sizeof(f32));
    return;
  }
  u16 *y = (u16 *)to + at;
  u32 i = 0;
  for (; i + 8 <= n; i += 8) store(y + i, floats_to_halves8(load(x + i), load(x + i + 4)));
  for (; i < n; i++) y[i] = float_to_half(x[i]);
}
#define DIMS 4096  // the most that a head turns
