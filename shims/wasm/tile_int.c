// tile_int.c  instructions of the tile interpreter on 32-bit integers and on conditions
// dtypes      8-bit and 4-bit integers too, which are brought back to their range (int8, uint8, ...)
#include "tile.h"

#define ZERO wasm_i32x4_const_splat(0)
#define ONE wasm_i32x4_const_splat(1)

PAIR4(add_i32, wasm_i32x4_add(p, q))
PAIR4(sub_i32, wasm_i32x4_sub(p, q))
PAIR4(mul_i32, wasm_i32x4_mul(p, q))
PAIR4(max_i32, wasm_i32x4_max(p, q))
PAIR4(min_i32, wasm_i32x4_min(p, q))
PAIR4(max_u32, wasm_u32x4_max(p, q))
PAIR4(min_u32, wasm_u32x4_min(p, q))
PAIR4(eq_i32, wasm_i32x4_eq(p, q))
PAIR4(lt_i32, wasm_i32x4_lt(p, q))
PAIR4(le_i32, wasm_i32x4_le(p, q))
PAIR4(lt_u32, wasm_u32x4_lt(p, q))
PAIR4(le_u32, wasm_u32x4_le(p, q))

EACH4(abs_i32, wasm_i32x4_abs(p))
EACH4(neg_i32, wasm_i32x4_neg(p))
EACH4(sign_i32, wasm_v128_or(wasm_i32x4_shr(p, 31), wasm_u32x4_shr(wasm_i32x4_neg(p), 31)))
EACH4(int8_i32, wasm_i32x4_shr(wasm_i32x4_shl(p, 24), 24))
EACH4(uint8_u32, wasm_v128_and(p, wasm_i32x4_const_splat(255)))
EACH4(int4_i32, wasm_i32x4_shr(wasm_i32x4_shl(p, 28), 28))
EACH4(uint4_u32, wasm_v128_and(p, wasm_i32x4_const_splat(15)))

// Division by zero, which may give anything, must not trap; nor the one quotient out of range.
INLINE i32 divided(i32 x, i32 y) { return y == 0 ? 0 : y == -1 ? (i32)-(u32)x : x / y; }
SINGLES(div_i32, i32, i32, divided(p, q))
SINGLES(div_u32, u32, u32, q == 0 ? 0 : p / q)

// by squaring; wraps around
INLINE u32 raised(u32 x, u32 y) {
  u32 made = 1;
  for (; y; y >>= 1, x *= x)
    if (y & 1) made *= x;
  return made;
}
// a negative power is 1 / x^-y, truncated
INLINE i32 power(i32 x, i32 y) {
  if (y >= 0) return (i32)raised((u32)x, (u32)y);
  return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
}
SINGLES(pow_i32, i32, i32, power(p, q))
SINGLES(pow_u32, u32, u32, raised(p, q))

// select(p, q, condition r), as WGSL has it: q where the condition holds
TRIPLE4(select_u32, wasm_v128_bitselect(q, p, r))
PAIR4(and_u32, wasm_v128_and(p, q))
PAIR4(or_u32, wasm_v128_or(p, q))
PAIR4(xor_u32, wasm_v128_xor(p, q))
EACH4(not_u32, wasm_v128_not(p))
EACH4(one_u32, wasm_v128_and(p, ONE))
