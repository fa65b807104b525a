// half.h  float16 in memory, float32 in registers.
#pragma once
#include "kernel.h"

// four float16, each in the low half of a 32-bit lane, as float32
INLINE v128 widened(v128 h) {
  v128 magnitude = wasm_i32x4_shl(wasm_v128_and(h, wasm_i32x4_splat(0x7fff)), 13);
  v128 sign = wasm_i32x4_shl(wasm_v128_and(h, wasm_i32x4_splat(0x8000)), 16);
  // exact, also for what is subnormal: the exponents' biases are 112 apart
  v128 made = wasm_f32x4_mul(magnitude, wasm_f32x4_splat(0x1p112f));
  v128 endless = wasm_i32x4_ge(magnitude, wasm_i32x4_splat(0x0f800000));
  made = wasm_v128_or(made, wasm_v128_and(endless, wasm_i32x4_splat(0x7f800000)));
  return wasm_v128_or(made, sign);
}

// four float32 as float16, halves to even, each in the low half of a lane
INLINE v128 narrowed(v128 x) {
  v128 sign = wasm_v128_and(wasm_u32x4_shr(x, 16), wasm_i32x4_splat(0x8000));
  v128 magnitude = wasm_v128_and(x, wasm_i32x4_splat(0x7fffffff));
  v128 odd = wasm_v128_and(wasm_u32x4_shr(magnitude, 13), wasm_i32x4_splat(1));
  v128 made = wasm_i32x4_add(magnitude, wasm_i32x4_splat(0xfff - (112 << 23)));
  made = wasm_u32x4_shr(wasm_i32x4_add(made, odd), 13);
  // a step between float32 at 0.5 is one between subnormal float16
  v128 small = wasm_f32x4_add(magnitude, wasm_f32x4_splat(0.5f));
  small = wasm_i32x4_sub(small, wasm_f32x4_splat(0.5f));
  v128 infinity = wasm_i32x4_splat(0x7c00);
  made = wasm_v128_bitselect(infinity, made,
                             wasm_i32x4_ge(magnitude, wasm_i32x4_splat(0x47800000)));
  made = wasm_v128_bitselect(small, made,
                             wasm_i32x4_lt(magnitude, wasm_i32x4_splat(0x38800000)));
  made = wasm_v128_bitselect(wasm_i32x4_splat(0x7e00), made,
                             wasm_i32x4_gt(magnitude, wasm_i32x4_splat(0x7f800000)));
  return wasm_v128_or(made, sign);
}
