// math.h   functions of four floats at once, to a few ULP; NaN in, NaN out
// source   the fits of exp, log, tanh and tan are those of Cephes; erfc's is of Press et al.,
//          Numerical Recipes, 6.2 (a Chebyshev fit); all others are series
// ULP      worst of a million: exp, expm1, log 1; tanh 2; sigmoid, sin, cos 3; erf, softplus 4;
//          erfc 7; pow 1/2; tan 15 at 1.5, more at its poles; gelu 7, but 200 below -10, where its
//          argument shows its own rounding. Denormal results of sigmoid, softplus, erfc are 0
#pragma once
#include "kernel.h"

// Constants that a loop keeps: the empty asm hides them from the compiler, which would put them in
// vectors again each time, at three instructions of the machine for each.
INLINE v128 F(f32 x) {
  __asm__("" : "+r"(x));
  return wasm_f32x4_splat(x);
}
INLINE v128 I(i32 x) {
  __asm__("" : "+r"(x));
  return wasm_i32x4_splat(x);
}

// c0 x^(n - 1) + ... + c(n - 1), in pairs of pairs: the steps of a pair wait for nobody
INLINE v128 poly(v128 x, const f32 *c, int n) {
  v128 v[16];
  for (int i = 0; i < n; i++) v[i] = F(c[i]);
  for (; n > 1; n = (n + 1) / 2, x = wasm_f32x4_mul(x, x)) {
    int odd = n & 1;
    for (int i = odd; i < n; i += 2) v[(i + 1) / 2] = madd(v[i], x, v[i + 1]);
  }
  return v[0];
}
#define POLY(x, ...) \
  poly(x, (const f32[]){__VA_ARGS__}, sizeof((const f32[]){__VA_ARGS__}) / sizeof(f32))

INLINE v128 select4(v128 yes, v128 no, v128 mask) { return wasm_v128_bitselect(yes, no, mask); }
INLINE v128 is_nan4(v128 x) { return wasm_f32x4_ne(x, x); }
INLINE v128 sign_bit4(v128 x) { return wasm_v128_and(x, I((i32)0x80000000)); }

// x to the nearest integer, in the low bits of a float: x + 1.5 * 2^23
#define MAGIC 12582912.0f
INLINE v128 power_of_two4(v128 n) { return wasm_i32x4_shl(wasm_i32x4_add(n, I(127)), 23); }

// e^r - 1 - r for |r| <= ln(2) / 2
INLINE v128 exp_rest4(v128 r) {
  v128 p = POLY(r, 1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
                1.6666665459e-1f, 5.0000001201e-1f);
  return wasm_f32x4_mul(p, wasm_f32x4_mul(r, r));
}

// x - n ln(2), where n = nearest(x / ln(2)) is given as float
INLINE v128 off_ln2(v128 x, v128 n) {
  x = madd(n, F(-0.693359375f), x);
  return madd(n, F(2.12194440e-4f), x);
}

// e^x over the whole range: denormal results too
INLINE v128 exp4(v128 x) {
  x = wasm_f32x4_pmax(wasm_f32x4_pmin(x, F(89.0f)), F(-104.0f));
  v128 shifted = madd(x, F(1.44269504088896341f), F(MAGIC));
  v128 n = wasm_f32x4_sub(shifted, F(MAGIC));
  v128 r = off_ln2(x, n);
  v128 y = wasm_f32x4_add(wasm_f32x4_add(exp_rest4(r), r), F(1.0f));
  v128 whole = wasm_i32x4_sub(shifted, I(0x4b400000));
  v128 half = wasm_i32x4_shr(whole, 1);
  y = wasm_f32x4_mul(y, power_of_two4(half));
  return wasm_f32x4_mul(y, power_of_two4(wasm_i32x4_sub(whole, half)));
}

// e^x for x <= 0, with 0 for what is below the normal numbers: for softmax and its like
INLINE v128 exp_below4(v128 x) {
  v128 shifted = madd(x, F(1.44269504088896341f), F(MAGIC));
  v128 n = wasm_f32x4_sub(shifted, F(MAGIC));
  v128 r = off_ln2(x, n);
  v128 y = wasm_f32x4_add(wasm_f32x4_add(exp_rest4(r), r), F(1.0f));
  y = wasm_f32x4_mul(y, wasm_i32x4_shl(wasm_i32x4_sub(shifted, I(0x4b400000 - 127)), 23));
  return wasm_v128_andnot(y, wasm_f32x4_lt(x, F(-87.3365f)));
}

// e^x - 1 for x <= 0
INLINE v128 expm1_below4(v128 x) {
  x = wasm_f32x4_pmax(x, F(-87.0f));
  v128 shifted = madd(x, F(1.44269504088896341f), F(MAGIC));
  v128 n = wasm_f32x4_sub(shifted, F(MAGIC));
  v128 r = off_ln2(x, n);
  v128 p = wasm_f32x4_add(exp_rest4(r), r);
  v128 s = wasm_i32x4_shl(wasm_i32x4_sub(shifted, I(0x4b400000 - 127)), 23);
  return madd(s, p, wasm_f32x4_sub(s, F(1.0f)));
}

// ln(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)], plus e ln(2)
INLINE v128 log_rest4(v128 f, v128 e) {
  v128 z = wasm_f32x4_mul(f, f);
  v128 y = POLY(f, 7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f,
                1.4249322787e-1f, -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f,
                3.3333331174e-1f);
  y = wasm_f32x4_mul(wasm_f32x4_mul(y, f), z);
  y = madd(e, F(-2.12194440e-4f), y);
  y = madd(z, F(-0.5f), y);
  return madd(e, F(0.693359375f), wasm_f32x4_add(f, y));
}

INLINE v128 log4(v128 x) {
  v128 small = wasm_f32x4_lt(x, F(1.17549435e-38f));
  v128 scaled = select4(wasm_f32x4_mul(x, F(8388608.0f)), x, small);
  // the exponent such that the rest is in [sqrt(1/2), sqrt(2))
  v128 e = wasm_i32x4_shr(wasm_i32x4_sub(scaled, I(0x3f3504f3)), 23);
  v128 f = wasm_f32x4_sub(wasm_i32x4_sub(scaled, wasm_i32x4_shl(e, 23)), F(1.0f));
  e = wasm_f32x4_sub(wasm_f32x4_convert_i32x4(e), wasm_v128_and(F(23.0f), small));
  v128 y = log_rest4(f, e);
  y = select4(x, y, wasm_f32x4_eq(x, F(__builtin_inff())));
  y = select4(F(-__builtin_inff()), y, wasm_f32x4_eq(x, F(0.0f)));
  v128 fine = wasm_f32x4_ge(x, F(0.0f));
  return select4(y, F(__builtin_nanf("")), fine);
}

// ln(1 + x) for x in [0, 1]: the series of 2 atanh(x / (2 + x))
INLINE v128 log1p_unit4(v128 x) {
  v128 s = wasm_f32x4_div(x, wasm_f32x4_add(x, F(2.0f)));
  v128 z = wasm_f32x4_mul(s, s);
  v128 y = POLY(z, 2.0f / 15, 2.0f / 13, 2.0f / 11, 2.0f / 9, 2.0f / 7, 2.0f / 5, 2.0f / 3, 2.0f);
  return wasm_f32x4_mul(y, s);
}

// 1 / (1 + e^-x), from e^-|x|, which cannot overflow
INLINE v128 sigmoid4(v128 x) {
  v128 small = exp_below4(wasm_f32x4_neg(wasm_f32x4_abs(x)));
  v128 top = select4(F(1.0f), small, wasm_f32x4_ge(x, F(0.0f)));
  return wasm_f32x4_div(top, wasm_f32x4_add(small, F(1.0f)));
}

// ln(1 + e^x)
INLINE v128 softplus4(v128 x) {
  v128 small = exp_below4(wasm_f32x4_neg(wasm_f32x4_abs(x)));
  return wasm_f32x4_add(wasm_f32x4_pmax(x, F(0.0f)), log1p_unit4(small));
}

INLINE v128 tanh4(v128 x) {
  v128 size = wasm_f32x4_abs(x);
  v128 z = wasm_f32x4_mul(x, x);
  v128 near = POLY(z, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                   1.33314422036e-1f, -3.33332819422e-1f);
  near = madd(wasm_f32x4_mul(near, z), x, x);
  v128 e = exp_below4(wasm_f32x4_mul(size, F(-2.0f)));
  v128 far = wasm_f32x4_div(wasm_f32x4_sub(F(1.0f), e), wasm_f32x4_add(F(1.0f), e));
  far = wasm_v128_or(far, sign_bit4(x));
  return select4(near, far, wasm_f32x4_lt(size, F(0.625f)));
}

// 1 - erf(z) for z >= 0: t exp(fit - z^2). z^2 is taken apart so that its rounding does not show.
INLINE v128 erf_tail4(v128 z) {
  z = wasm_f32x4_pmin(z, F(10.5f));  // where it is 0
  v128 t = wasm_f32x4_div(F(1.0f), madd(z, F(0.5f), F(1.0f)));
  v128 fit = POLY(t, 0.17087277f, -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                  -0.18628806f, 0.09678418f, 0.37409196f, 1.00002368f, -1.26551223f);
  v128 high = wasm_v128_and(z, I((i32)0xfffff000));
  v128 square = wasm_f32x4_neg(wasm_f32x4_mul(high, high));
  fit = wasm_f32x4_sub(fit, wasm_f32x4_mul(wasm_f32x4_sub(z, high), wasm_f32x4_add(z, high)));
  v128 sum = wasm_f32x4_add(square, fit);
  v128 lost = wasm_f32x4_sub(fit, wasm_f32x4_sub(sum, square));
  v128 y = exp_below4(sum);
  return wasm_f32x4_mul(t, madd(y, lost, y));
}

// 1 - erf(x), precise to its last digits above 0
INLINE v128 erfc4(v128 x) {
  v128 tail = erf_tail4(wasm_f32x4_abs(x));
  return select4(wasm_f32x4_sub(F(2.0f), tail), tail, wasm_f32x4_lt(x, F(0.0f)));
}

// near 0, where 1 - erfc(x) has no digits left, its series
INLINE v128 erf4(v128 x) {
  v128 size = wasm_f32x4_abs(x), z = wasm_f32x4_mul(x, x);
  v128 near = POLY(z, 0.00012055332981789664f, -0.0008548327023450852f, 0.005223977625442188f,
                   -0.026866170645131252f, 0.11283791670955126f, -0.37612638903183754f,
                   1.1283791670955126f);
  v128 far = wasm_v128_or(wasm_f32x4_sub(F(1.0f), erf_tail4(size)), sign_bit4(x));
  return select4(wasm_f32x4_mul(near, x), far, wasm_f32x4_lt(size, F(0.5f)));
}

INLINE v128 gelu4(v128 x) {
  v128 tail = erfc4(wasm_f32x4_mul(x, F(-0.70710678118654752f)));
  return wasm_f32x4_mul(wasm_f32x4_mul(x, F(0.5f)), tail);
}

INLINE v128 silu4(v128 x) { return wasm_f32x4_mul(x, sigmoid4(x)); }

// Trigonometry: the angle less n pi is taken in float64, with pi in three parts, of which two have
// exact multiples for angles up to some 1e9; beyond, neighbouring floats are many turns apart.

typedef struct {
  v128 rest;  // |rest| <= pi / 2
  v128 odd;   // the sign bit is set where n is odd
} Turned;

// Two angles in float64: the rest of (n + shift) pi, and n
INLINE Turned off_pi2(v128 x, double shift) {
  v128 n = wasm_f64x2_mul(x, wasm_f64x2_splat(0.31830988618379067));
  n = wasm_f64x2_nearest(wasm_f64x2_sub(n, wasm_f64x2_splat(shift)));
  v128 by = wasm_f64x2_add(n, wasm_f64x2_splat(shift));
  x = wasm_f64x2_sub(x, wasm_f64x2_mul(by, wasm_f64x2_splat(3.141592502593994)));
  x = wasm_f64x2_sub(x, wasm_f64x2_mul(by, wasm_f64x2_splat(1.5099578831723193e-07)));
  x = wasm_f64x2_sub(x, wasm_f64x2_mul(by, wasm_f64x2_splat(1.0780605716316238e-14)));
  // its low bits are n
  return (Turned){x, wasm_f64x2_add(n, wasm_f64x2_splat(6755399441055744.0))};
}

INLINE Turned off_pi4(v128 x, double shift) {
  v128 swapped = wasm_i64x2_shuffle(x, x, 1, 0);
  Turned low = off_pi2(wasm_f64x2_promote_low_f32x4(x), shift);
  Turned high = off_pi2(wasm_f64x2_promote_low_f32x4(swapped), shift);
  v128 rest = wasm_i64x2_shuffle(wasm_f32x4_demote_f64x2_zero(low.rest),
                                 wasm_f32x4_demote_f64x2_zero(high.rest), 0, 2);
  v128 n = wasm_i32x4_shuffle(low.odd, high.odd, 0, 2, 4, 6);
  rest = wasm_f32x4_pmax(wasm_f32x4_pmin(rest, F(1.5707964f)), F(-1.5707964f));
  return (Turned){rest, wasm_i32x4_shl(n, 31)};
}

// sin(x) for |x| <= pi / 2: the series to x^11
INLINE v128 sin_rest4(v128 x) {
  v128 z = wasm_f32x4_mul(x, x);
  v128 y = POLY(z, -2.3889859e-8f, 2.7525562e-6f, -1.98408744e-4f, 8.33333072e-3f,
                -1.66666667e-1f);
  return madd(wasm_f32x4_mul(y, z), x, x);
}

INLINE v128 sin4(v128 x) {
  Turned t = off_pi4(x, 0.0);
  return wasm_v128_xor(sin_rest4(t.rest), t.odd);
}

INLINE v128 cos4(v128 x) {
  Turned t = off_pi4(x, 0.5);
  return wasm_v128_xor(wasm_f32x4_neg(sin_rest4(t.rest)), t.odd);
}

// 2t / (1 - t^2), t = tan(rest / 2)
INLINE v128 tan4(v128 x) {
  v128 half = wasm_f32x4_mul(off_pi4(x, 0.0).rest, F(0.5f));
  v128 z = wasm_f32x4_mul(half, half);
  v128 t = POLY(z, 9.38540185543e-3f, 3.11992232697e-3f, 2.44301354525e-2f, 5.34112807005e-2f,
                1.33387994085e-1f, 3.33331568548e-1f);
  t = madd(wasm_f32x4_mul(t, z), half, half);
  v128 below = wasm_f32x4_sub(F(1.0f), wasm_f32x4_mul(t, t));
  return wasm_f32x4_div(wasm_f32x4_add(t, t), below);
}

// Powers, one at a time in float64, where the product of exponent and logarithm keeps its digits

INLINE double log2_wide(double x) {
  u64 bits = __builtin_bit_cast(u64, x);
  i64 e = (i64)(bits - 0x3fe6a09e667f3bcdull) >> 52;
  double m = __builtin_bit_cast(double, bits - ((u64)e << 52));
  double s = (m - 1) / (m + 1), z = s * s;
  double y = 1 + z * (1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * (1.0 / 9 + z * (1.0 / 11 +
             z * (1.0 / 13 + z * (1.0 / 15)))))));
  return (double)e + s * y * 2.885390081777926815;
}

INLINE double exp2_wide(double x) {
  x = x > 130 ? 130 : x < -160 ? -160 : x;
  double n = __builtin_rint(x), r = (x - n) * 0.69314718055994531;
  double y = 1 + r * (1 + r * (1.0 / 2 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 +
             r * (1.0 / 720 + r * (1.0 / 5040 + r * (1.0 / 40320 + r * (1.0 / 362880)))))))));
  return y * __builtin_bit_cast(double, (u64)((i64)n + 1023) << 52);
}

INLINE f32 pow1(f32 a, f32 b) {
  f32 size = __builtin_fabsf(a);
  if (b == 0.0f || a == 1.0f) return 1.0f;
  if (a != a || b != b) return a + b;
  f32 made;
  if (size == 1.0f) made = 1.0f;
  else if (size == 0.0f || size == __builtin_inff())
    made = (size == 0.0f) == (b < 0.0f) ? __builtin_inff() : 0.0f;
  else made = (f32)exp2_wide((double)b * log2_wide(size));
  if (__builtin_bit_cast(i32, a) >= 0) return made;
  int whole = __builtin_floorf(b) == b;
  if (!whole && size != 0.0f && size != __builtin_inff()) return __builtin_nanf("");
  int odd = whole && __builtin_fabsf(b) < 16777216.0f && ((i64)b & 1);
  return odd ? -made : made;
}

// Half precision

// the first four of eight float16 in float32
INLINE v128 half_to_float4(v128 h) {
  v128 u = wasm_u32x4_extend_low_u16x8(h);
  v128 size = wasm_i32x4_shl(wasm_v128_and(u, I(0x7fff)), 13);
  v128 sign = wasm_i32x4_shl(wasm_v128_and(u, I(0x8000)), 16);
  v128 top = wasm_v128_and(wasm_i32x4_ge(size, I(0x0f800000)), I(0x7f800000));
  v128 y = wasm_f32x4_mul(size, F(5.192296858534828e33f));  // 2^112
  return wasm_v128_or(wasm_v128_or(y, top), sign);
}

// to the nearest, ties to even, as u32; NaN is 0x7e00
INLINE v128 float_to_half4(v128 x) {
  v128 sign = sign_bit4(x), size = wasm_v128_xor(x, sign);
  v128 odd = wasm_v128_and(wasm_u32x4_shr(size, 13), I(1));
  v128 y = wasm_u32x4_shr(wasm_i32x4_add(wasm_i32x4_add(size, I(0xfff)), odd), 13);
  y = wasm_i32x4_min(wasm_i32x4_sub(y, I(112 << 10)), I(0x7c00));
  // denormal: a half added leaves as many bits
  v128 small = wasm_i32x4_sub(wasm_f32x4_add(size, F(0.5f)), I(0x3f000000));
  y = select4(small, y, wasm_i32x4_lt(size, I(0x38800000)));
  y = select4(I(0x7e00), y, wasm_i32x4_gt(size, I(0x7f800000)));
  return wasm_v128_or(y, wasm_u32x4_shr(sign, 16));
}

// eight float16 of two vectors of float32
INLINE v128 floats_to_halves8(v128 low, v128 high) {
  return wasm_u16x8_narrow_i32x4(float_to_half4(low), float_to_half4(high));
}

INLINE f32 half_to_float(u16 h) {
  return wasm_f32x4_extract_lane(half_to_float4(wasm_i32x4_splat(h)), 0);
}

INLINE u16 float_to_half(f32 x) {
  return (u16)wasm_i32x4_extract_lane(float_to_half4(wasm_f32x4_splat(x)), 0);
}
