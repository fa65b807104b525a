// llm.c  between the matrices of a language model: norms, rotary embedding, new rows of the KV state
//
// States may be float16; all else is float32.
#include "llm.h"

// y = x / sqrt(mean(x^2) + eps) * weight
// bindings  0 x [M, K], 1 weight [K], 2 y
// numbers   K, eps
// items     rows
KERNEL(rms_norm) {
  u32 width = a[3];
  for (u32 row = begin; row < end; row++) {
    const f32 *x = PTR(const f32, 0) + row * width, *weight = PTR(const f32, 1);
    f32 *y = PTR(f32, 2) + row * width, total = 0;
    v128 sum = F(0.0f);
    u32 i = 0;
    for (; i + 4 <= width; i += 4) sum = madd(load(x + i), load(x + i), sum);
    total = sum4(sum);
    for (; i < width; i++) total += x[i] * x[i];
    f32 by = 1.0f / __builtin_sqrtf(total / (f32)width + number(a[4]));
    v128 by4 = wasm_f32x4_splat(by);
    for (i = 0; i + 4 <= width; i += 4)
      store(y + i, wasm_f32x4_mul(wasm_f32x4_mul(load(x + i), by4), load(weight + i)));
    for (; i < width; i++) y[i] = x[i] * by * weight[i];
  }
}

// bindings  0 x [S, H, D], 1 frequencies, 2 y
// numbers   H, D, turned dims, whether pairs are neighbours, the first position
// items     positions
KERNEL(rotary) {
  f32 cosines[DIMS / 2], sines[DIMS / 2];
  u32 heads = a[3], size = a[4], dims = a[5];
  for (u32 s = begin; s < end; s++) {
    angles((f32)(a[7] + s), PTR(const f32, 1), dims / 2, cosines, sines);
    for (u32 h = 0; h < heads; h++) {
      u32 at = (s * heads + h) * size;
      turn(PTR(f32, 2) + at, PTR(const f32, 0) + at, size, dims, (int)a[6], cosines, sines);
    }
  }
}

// Rows of a state from `start` become x.
// bindings  0 x [S, W], 1 state [T, W]
// numbers   W, start, whether the state is float16
// items     rows of x
KERNEL(kv_update) {
  u32 width = a[2];
  for (u32 s = begin; s < end; s++)
    put_floats(PTR(void, 1), (a[3] + s) * width, PTR(const f32, 0) + s * width, width, (int)a[4]);
}

// Parts a product of x with the rows of q, k and v: q and k are turned, k and v go to their states.
// bindings  0 product [S, ...], 1 frequencies, 2 q [S, H, D], 3 state of k [T, KH, D], 4 of v
// numbers   H, KH, D, turned dims, whether pairs are neighbours, start; columns of the product: all
//           of them, the first of k, the first of v; whether the states are float16
// items     positions
KERNEL(qkv_place) {
  f32 cosines[DIMS / 2], sines[DIMS / 2], head[DIMS];
  u32 heads = a[5], kv_heads = a[6], size = a[7], dims = a[8], start = a[10];
  for (u32 s = begin; s < end; s++) {
    const f32 *x = PTR(const f32, 0) + s * a[11], *k = x + a[12];
    f32 *q = PTR(f32, 2) + s * heads * size;
    u32 to = (start + s) * kv_heads * size;
    angles((f32)(start + s), PTR(const f32, 1), dims / 2, cosines, sines);
    for (u32 h = 0; h < heads; h++)
      turn(q + h * size, x + h * size, size, dims, (int)a[9], cosines, sines);
    for (u32 h = 0; h < kv_heads; h++) {
      turn(head, k + h * size, size, dims, (int)a[9], cosines, sines);
      put_floats(PTR(void, 3), to + h * size, head, size, (int)a[14]);
    }
    put_floats(PTR(void, 4), to, x + a[13], kv_heads * size, (int)a[14]);
  }
}

// y = silu(gate) * up
// bindings  0 gate, 1 up, 2 y
// items     elements
KERNEL(swiglu) {
  const f32 *gate = PTR(const f32, 0), *up = PTR(const f32, 1);
  f32 *y = PTR(f32, 2);
  u32 i = begin;
  for (; i + 4 <= end; i += 4) store(y + i, wasm_f32x4_mul(silu4(load(gate + i)), load(up + i)));
  for (; i < end; i++)
    y[i] = wasm_f32x4_extract_lane(silu4(wasm_f32x4_splat(gate[i])), 0) * up[i];
}
