// half.c    float16 to float32 and back, for kernels that know float32 alone
// bindings  0 from, 1 to
// items     elements
#include "math.h"

KERNEL(widen) {
  const u16 *x = PTR(const u16, 0);
  f32 *y = PTR(f32, 1);
  u32 i = begin;
  for (; i + 4 <= end; i += 4) store(y + i, half_to_float4(wasm_v128_load64_zero(x + i)));
  for (; i < end; i++) y[i] = half_to_float(x[i]);
}

KERNEL(narrow) {
  const f32 *x = PTR(const f32, 0);
  u16 *y = PTR(u16, 1);
  u32 i = begin;
  for (; i + 8 <= end; i += 8) store(y + i, floats_to_halves8(load(x + i), load(x + i + 4)));
  for (; i < end; i++) y[i] = float_to_half(x[i]);
}
