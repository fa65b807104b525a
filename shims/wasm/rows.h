// rows.h  what kernels of rows share: vectors that may be cut short, and sums of many.
#pragma once
#include "kernel.h"

#define PIECE 1024  // rounding of a sum grows with a piece and with the number of pieces

// the first m of four elements, the others 0
INLINE v128 load_first(const f32 *p, u32 m) {
  switch (m) {
    case 1: return wasm_v128_load32_zero(p);
    case 2: return wasm_v128_load64_zero(p);
    case 3: return wasm_v128_load32_lane(p + 2, wasm_v128_load64_zero(p), 2);
    default: return load(p);
  }
}

INLINE void store_first(f32 *p, v128 v, u32 m) {
  switch (m) {
    case 1: wasm_v128_store32_lane(p, v, 0); break;
    case 2: wasm_v128_store64_lane(p, v, 0); break;
    case 3: wasm_v128_store64_lane(p, v, 0); wasm_v128_store32_lane(p + 2, v, 2); break;
    default: store(p, v);
  }
}
