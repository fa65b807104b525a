// math      functions of numbers that WGSL lacks, or has too rough or undefined for some
// dtypes    as the ends of names say: f32 (also for float16), i32, u32
// source    WGSL lets a compiler assume that there are no NaNs and infinities, so that `x != x` may
//           be folded to false and `max(x, 0)` may lose a NaN: what must be right for them looks at
//           the bits

// a float32 by its bits: WGSL refuses constant expressions that are not finite
fn from_bits_f32(bits: u32) -> f32 {
  var b = bits;
  return bitcast<f32>(b);
}

fn is_nan_f32(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

fn is_infinite_f32(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u; }

// x < 0: not for -0, not for NaN
fn is_negative_f32(x: f32) -> bool { return bitcast<u32>(x) - 0x80000001u < 0x7f800000u; }
fn is_negative_i32(x: i32) -> bool { return x < 0; }

// `made`, but x where that is NaN
fn unless_nan_f32(made: f32, x: f32) -> f32 { return select(made, x, is_nan_f32(x)); }

// NaN if either is
fn max_f32(a: f32, b: f32) -> f32 { return unless_nan_f32(unless_nan_f32(max(a, b), b), a); }
fn max_i32(a: i32, b: i32) -> i32 { return max(a, b); }
fn max_u32(a: u32, b: u32) -> u32 { return max(a, b); }
fn min_f32(a: f32, b: f32) -> f32 { return unless_nan_f32(unless_nan_f32(min(a, b), b), a); }
fn min_i32(a: i32, b: i32) -> i32 { return min(a, b); }
fn min_u32(a: u32, b: u32) -> u32 { return min(a, b); }

fn clamp_f32(x: f32, low: f32, high: f32) -> f32 { return unless_nan_f32(clamp(x, low, high), x); }

// -1, 0 or 1; 0 for NaN
fn sign_f32(x: f32) -> f32 {
  let nothing = (bitcast<u32>(x) & 0x7fffffffu) - 1u >= 0x7f800000u;  // past infinity's
  return select(select(1.0, -1.0, x < 0.0), 0.0, nothing);
}
fn sign_i32(x: i32) -> i32 { return sign(x); }

// Powers and logarithms

// a to the power of b. WGSL's is undefined for a negative base, and rough: squares and cubes are
// multiplied; some drivers have 0 for a negative power of 0.
fn pow_f32(a: f32, b: f32) -> f32 {
  var size = select(pow(abs(a), b), 1.0 / abs(a), a == 0.0 && b < 0.0);
  size = select(size, abs(a * a * a), b == 3.0);
  size = select(size, a * a, b == 2.0);
  size = select(size, 1.0, abs(a) == 1.0 || b == 0.0);
  let bits = bitcast<u32>(a);
  let odd = abs(b) < 16777216.0 && fract(b * 0.5) == 0.5;
  var made = size * select(1.0, -1.0, bits >= 0x80000000u && odd);
  let no_root = is_negative_f32(a) && !is_infinite_f32(a) && !(floor(b) == b);
  made = select(made, bitcast<f32>(bits | 0x7fc00000u), no_root);
  made = select(made, b, is_nan_f32(b) && !(a == 1.0));
  return select(made, a, is_nan_f32(a) && !(b == 0.0));
}

// by squaring; wraps around
fn pow_u32(a: u32, b: u32) -> u32 {
  var result = 1u;
  var base = a;
  for (var left = b; left > 0u; left >>= 1u) {
    if ((left & 1u) == 1u) { result *= base; }
    base *= base;
  }
  return result;
}
fn pow_i32(a: i32, b: i32) -> i32 {
  return bitcast<i32>(pow_u32(bitcast<u32>(a), bitcast<u32>(max(b, 0))));
}

// ln((1 + s) / (1 - s)) = 2 atanh(s) for |s| <= 1/3: the odd series to s^15, 6e-9 relative
fn log_ratio_f32(s: f32) -> f32 {
  let z = s * s;
  return 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0
    + z * (1.0 / 11.0 + z * (1.0 / 13.0 + z * (1.0 / 15.0))))))));
}

// ln(x), to a few ULP near 1 also, where WGSL's has an absolute error only
fn log_f32(x: f32) -> f32 {
  return select(log(x), log_ratio_f32((x - 1.0) / (x + 1.0)), x > 0.5 && x < 2.0);
}

// ln(1 + x) for x in [0, 1]
fn log1p_f32(x: f32) -> f32 { return log_ratio_f32(x / (2.0 + x)); }

// exp(x) - 1 for x <= 0: near 0 the series to x^9/9!
fn expm1_f32(x: f32) -> f32 {
  let series = x * (1.0 + x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0
    + x * (1.0 / 720.0 + x * (1.0 / 5040.0 + x * (1.0 / 40320.0 + x * (1.0 / 362880.0)))))))));
  return select(exp(x) - 1.0, series, x > -0.5);
}

// 1 / (1 + exp(-x)), from exp(-|x|), which cannot overflow
fn sigmoid_f32(x: f32) -> f32 {
  let small = exp(-abs(x));
  return select(small, 1.0, x >= 0.0) / (1.0 + small);
}

// ln(1 + exp(x)), which cannot overflow either
fn softplus_f32(x: f32) -> f32 { return max_f32(x, 0.0) + log1p_f32(exp(-abs(x))); }

// to a few ULP: WGSL's may be off by 1e-5 and may overflow. Source of the fit: Cephes, tanhf.
fn tanh_f32(x: f32) -> f32 {
  let z = x * x;
  let near = x * (1.0 + z * (-3.33332819422e-1 + z * (1.33314422036e-1
    + z * (-5.37397155531e-2 + z * (2.06390887954e-2 + z * -5.70498872745e-3)))));
  let e = exp(-2.0 * abs(x));
  let far = sign(x) * (1.0 - e) / (1.0 + e);
  return unless_nan_f32(select(far, near, abs(x) < 0.625), x);
}

// The error function

// 1 - erf(|x|), to 1.2e-7 relative. Source: Press et al., Numerical Recipes, 6.2, erfcc (a
// Chebyshev fit).
fn erf_tail_f32(x: f32) -> f32 {
  let z = min(abs(x), 10.5);  // where it is 0 in float32
  let t = 1.0 / (1.0 + 0.5 * z);
  let fit = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418
    + t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587
    + t * (-0.82215223 + t * 0.17087277))))))));
  return t * exp(fit - z * z);
}

// 1 - erf(x), precise to its last digits above 0
fn erfc_f32(x: f32) -> f32 {
  let tail = erf_tail_f32(x);
  return unless_nan_f32(select(tail, 2.0 - tail, x < 0.0), x);
}

// near 0, where 1 - erfc(x) has no digits left, its series to x^13: 1e-9 relative
fn erf_f32(x: f32) -> f32 {
  let z = x * x;
  let near = x * (1.1283791670955126 + z * (-0.37612638903183754 + z * (0.11283791670955126
    + z * (-0.026866170645131252 + z * (0.005223977625442188 + z * (-0.0008548327023450852
    + z * 0.00012055332981789664))))));
  let far = sign(x) * (1.0 - erf_tail_f32(x));
  return unless_nan_f32(select(far, near, abs(x) < 0.5), x);
}

// Trigonometry, for |x| up to some 1e5. WGSL promises precision in [-pi, pi] alone.

// x less the nearest multiple of `halves` (1 or 2) times pi. It is subtracted in three parts of few
// bits, of which two have exact multiples up to 2^16. Source: Cody and Waite.
fn off_pi_f32(x: f32, halves: f32) -> f32 {
  let n = halves * round(x * (0.3183098861837907 / halves));
  return x - n * 3.140625 - n * 0.0009670257568359375 - n * 6.278329577e-07;
}

fn sin_f32(x: f32) -> f32 { return sin(off_pi_f32(x, 2.0)); }

fn cos_f32(x: f32) -> f32 { return cos(off_pi_f32(x, 2.0)); }

// 2t / (1 - t^2), t = tan(r/2), |r/2| <= pi/4: WGSL's inherits the errors of sin and cos. Source of
// the fit: Cephes, tanf.
fn tan_f32(x: f32) -> f32 {
  let half = 0.5 * off_pi_f32(x, 1.0);
  let z = half * half;
  let t = half + half * z * (3.33331568548e-1 + z * (1.33387994085e-1 + z * (5.34112807005e-2
    + z * (2.44301354525e-2 + z * (3.11992232697e-3 + z * 9.38540185543e-3)))));
  return 2.0 * t / (1.0 - t * t);
}
