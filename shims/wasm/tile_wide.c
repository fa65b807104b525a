// tile_wide.c  instructions of the tile interpreter on 64-bit integers
#include "tile.h"

#define PAIR2(name, made)                                                         \
  INSTRUCTION(name) {                                                             \
    for (u32 i = 0; i < n; i += 2) {                                              \
      v128 p = load((const u64 *)a + i), q = load((const u64 *)b + i);            \
      store((u64 *)y + i, made);                                                  \
    }                                                                             \
  }

PAIR2(add_i64, wasm_i64x2_add(p, q))
PAIR2(sub_i64, wasm_i64x2_sub(p, q))
PAIR2(mul_i64, wasm_i64x2_mul(p, q))
SINGLES(max_i64, i64, i64, p > q ? p : q)
SINGLES(min_i64, i64, i64, p < q ? p : q)
SINGLES(max_u64, u64, u64, p > q ? p : q)
SINGLES(min_u64, u64, u64, p < q ? p : q)
SINGLES(eq_i64, i32, i64, -(p == q))
SINGLES(lt_i64, i32, i64, -(p < q))
SINGLES(le_i64, i32, i64, -(p <= q))
SINGLES(lt_u64, i32, u64, -(p < q))
SINGLES(le_u64, i32, u64, -(p <= q))

INLINE i64 divided(i64 x, i64 y) { return y == 0 ? 0 : y == -1 ? (i64)-(u64)x : x / y; }
SINGLES(div_i64, i64, i64, divided(p, q))
SINGLES(div_u64, u64, u64, q == 0 ? 0 : p / q)

// by squaring; wraps around
INLINE u64 raised(u64 x, u64 y) {
  u64 made = 1;
  for (; y; y >>= 1, x *= x)
    if (y & 1) made *= x;
  return made;
}
// a negative power is 1 / x^-y, truncated
INLINE i64 power(i64 x, i64 y) {
  if (y >= 0) return (i64)raised((u64)x, (u64)y);
  return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
}
SINGLES(pow_i64, i64, i64, power(p, q))
SINGLES(pow_u64, u64, u64, raised(p, q))

SINGLE(abs_i64, i64, i64, p < 0 ? (i64)-(u64)p : p)
SINGLE(neg_i64, i64, i64, (i64)-(u64)p)
SINGLE(sign_i64, i64, i64, (p > 0) - (p < 0))

SINGLE(i32_of_i64, i32, i64, (i32)p)

// From the end, where y is wider than an operand that may lie where y does
#define WIDER(name, T, M, made)                                            \
  INSTRUCTION(name) {                                                      \
    _Pragma("clang loop vectorize(disable) unroll(disable)")               \
    for (u32 i = n; i-- > 0;) {                                            \
      T p = ((const T *)a)[i];                                             \
      ((M *)y)[i] = made;                                                  \
    }                                                                      \
  }
WIDER(i64_of_i32, i32, i64, p)
WIDER(i64_of_u32, u32, i64, p)
WIDER(i64_of_f32, f32, i64, __builtin_wasm_trunc_saturate_s_i64_f32(p))
WIDER(u64_of_f32, f32, u64, (u64)__builtin_wasm_trunc_saturate_u_i64_f32(p))

// b where the condition c holds, else a
INSTRUCTION(select_u64) {
  for (u32 i = n; i-- > 0;)
    ((u64 *)y)[i] = ((const u32 *)c)[i] ? ((const u64 *)b)[i] : ((const u64 *)a)[i];
}
