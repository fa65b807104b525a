// tile_float.c  instructions of the tile interpreter on float32
// source        the rules for NaN are those of targets/webgpu/kernels/math.wgsl
#include "math.h"
#include "tile.h"

PAIR4(add_f32, wasm_f32x4_add(p, q))
PAIR4(sub_f32, wasm_f32x4_sub(p, q))
PAIR4(mul_f32, wasm_f32x4_mul(p, q))
PAIR4(div_f32, wasm_f32x4_div(p, q))
PAIR4(max_f32, wasm_f32x4_max(p, q))
PAIR4(min_f32, wasm_f32x4_min(p, q))
PAIR4(eq_f32, wasm_f32x4_eq(p, q))
PAIR4(lt_f32, wasm_f32x4_lt(p, q))
PAIR4(le_f32, wasm_f32x4_le(p, q))
SINGLES(pow_f32, f32, f32, pow1(p, q))

EACH4(abs_f32, wasm_f32x4_abs(p))
EACH4(neg_f32, wasm_f32x4_neg(p))
EACH4(ceil_f32, wasm_f32x4_ceil(p))
EACH4(floor_f32, wasm_f32x4_floor(p))
EACH4(round_f32, wasm_f32x4_nearest(p))
EACH4(sqrt_f32, wasm_f32x4_sqrt(p))
LONG4(exp_f32, exp4(p))
LONG4(log_f32, log4(p))
LONG4(sin_f32, sin4(p))
LONG4(cos_f32, cos4(p))
LONG4(tan_f32, tan4(p))
LONG4(erf_f32, erf4(p))
LONG4(erfc_f32, erfc4(p))
LONG4(expm1_f32, expm1_below4(p))
LONG4(sigmoid_f32, sigmoid4(p))
LONG4(softplus_f32, softplus4(p))
LONG4(tanh_f32, tanh4(p))
LONG4(gelu_f32, gelu4(p))
LONG4(half_f32, half_to_float4(floats_to_halves8(p, p)))
// a comparison that NaN fails, so that it stays
EACH4(relu_f32, wasm_v128_andnot(p, wasm_f32x4_lt(p, F(0.0f))))
TRIPLE4(clamp_f32, wasm_f32x4_pmin(wasm_f32x4_pmax(p, q), r))

EACH4(is_nan_f32, is_nan4(p))
EACH4(is_infinite_f32, wasm_f32x4_eq(wasm_f32x4_abs(p), F(__builtin_inff())))
EACH4(is_negative_f32, wasm_f32x4_lt(p, F(0.0f)))
// 1 with the sign of what is more or less than 0
EACH4(sign_f32, wasm_v128_or(wasm_v128_and(wasm_f32x4_gt(p, F(0.0f)), F(1.0f)),
                             wasm_v128_and(wasm_f32x4_lt(p, F(0.0f)), F(-1.0f))))

EACH4(i32_of_f32, wasm_i32x4_trunc_sat_f32x4(p))
EACH4(u32_of_f32, wasm_u32x4_trunc_sat_f32x4(p))
EACH4(f32_of_i32, wasm_f32x4_convert_i32x4(p))
EACH4(f32_of_u32, wasm_f32x4_convert_u32x4(p))
SINGLE(f32_of_i64, f32, i64, (f32)p)
SINGLE(f32_of_u64, f32, u64, (f32)p)
