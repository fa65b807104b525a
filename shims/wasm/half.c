// half.c    float16 to float32 and back, for kernels that know float32 alone
// bindings  0 from, 1 to
// items     elements
#include "half.h"

KERNEL(widen) {
  const u16 *x = PTR(const u16, 0);
  f32 *y = PTR(f32, 1);
  u32 i = begin;
  for (; i + 4 <= end; i += 4) store(y + i, widened(wasm_u32x4_load16x4(x + i)));
  for (; i < end; i++) y[i] = wasm_f32x4_extract_lane(widened(wasm_i32x4_splat(x[i])), 0);
}

KERNEL(narrow) {
  const f32 *x = PTR(const f32, 0);
  u16 *y = PTR(u16, 1);
  u32 i = begin;
  for (; i + 8 <= end; i += 8) {
    v128 low = narrowed(load(x + i)), high = narrowed(load(x + i + 4));
    store(y + i, wasm_u16x8_narrow_i32x4(low, high));
  }
  for (; i < end; i++) y[i] = wasm_i32x4_extract_lane(narrowed(splat(x + i)), 0);
}
