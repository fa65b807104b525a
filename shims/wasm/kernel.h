// kernel.h  what every kernel file includes: types, vectors, and the form of a kernel.
//
// A kernel is one exported function `name(a, begin, end)`. `a` are its arguments, 32-bit words:
// first the addresses of its bindings, then its numbers (floats as their bits), in the order of
// the plan's step. It does the items `begin` to `end` - 1 of the step, whatever an item is: a row,
// a block of columns, a head. Threads get different items of one step, so an item's results must
// not depend on where the range begins and ends. Scratch memory is an array on the stack: up to
// 256 KiB. There is no libc, and no static data that changes.
#pragma once
#include <wasm_simd128.h>

typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef short i16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef long long i64;
typedef float f32;
typedef v128_t v128;

#define EXPORT(name) __attribute__((export_name(#name)))
#define KERNEL(name) EXPORT(name) void name(const u32 *a, u32 begin, u32 end)
#define PTR(type, i) ((type *)a[i])
#define INLINE static inline __attribute__((always_inline))
#define RESTRICT __restrict__

INLINE f32 number(u32 word) { return __builtin_bit_cast(f32, word); }
INLINE u32 least(u32 x, u32 y) { return x < y ? x : y; }
INLINE u32 most(u32 x, u32 y) { return x > y ? x : y; }

INLINE v128 load(const void *p) { return wasm_v128_load(p); }
INLINE void store(void *p, v128 v) { wasm_v128_store(p, v); }
INLINE v128 splat(const f32 *p) { return wasm_v128_load32_splat(p); }

// a * b + c; one rounding where the module has relaxed SIMD and the machine has FMA
INLINE v128 madd(v128 a, v128 b, v128 c) {
#ifdef __wasm_relaxed_simd__
  return wasm_f32x4_relaxed_madd(a, b, c);
#else
  return wasm_f32x4_add(wasm_f32x4_mul(a, b), c);
#endif
}

INLINE f32 sum4(v128 v) {
  v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1);
}
