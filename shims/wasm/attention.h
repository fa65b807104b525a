// attention.h  shares of scores that come tile after tile (online softmax)
// source       Milakov and Gimelshein 2018
#pragma once
#include "math.h"

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
