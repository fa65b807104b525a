// tile.h    element-wise programs, run tile by tile so that what is between stays in the first cache
//
// A program is words in the arguments of a step:
//   0  loads, constants, instructions: how many; 3  the result: register | kind << 8 | binding << 16
//   4  elements in all; 5  the sizes n1 n2 n3 of the last three of four axes
//   a load          register | kind << 8 | binding << 16; offset; strides s0 s1 s2 s3, in elements
//   a constant      register | kind << 8; its low and its high word
//   an instruction  opcode | register of the result << 8; operands: register, << 8, << 16
// A kind is what lies in memory (below); a binding is an index of the arguments. Registers hold
// TILE elements of 4 or 8 bytes. The last instruction makes the result.
#pragma once
#include "kernel.h"

#define TILE 512
#define REGISTERS 16

enum { WORD = 0, WIDE = 1, HALF = 2, INT8 = 3, UINT8 = 4 };  // kinds

// An instruction: n is a multiple of 16, y may be one of the operands. Conditions are words of all
// bits or none.
typedef void Instruction(void *y, const void *a, const void *b, const void *c, u32 n);

// In the order of OPCODES in targets/wasm/opcodes.py
#define OPCODES(X)                                                                               \
  X(add_f32) X(sub_f32) X(mul_f32) X(div_f32) X(max_f32) X(min_f32) X(pow_f32) X(abs_f32)        \
  X(neg_f32) X(ceil_f32) X(floor_f32) X(round_f32) X(sqrt_f32) X(sign_f32) X(exp_f32) X(log_f32) \
  X(sin_f32) X(cos_f32) X(tan_f32) X(erf_f32) X(erfc_f32) X(expm1_f32) X(sigmoid_f32)            \
  X(softplus_f32) X(tanh_f32) X(clamp_f32) X(relu_f32) X(gelu_f32) X(half_f32)                   \
  X(is_nan_f32) X(is_infinite_f32) X(is_negative_f32) X(eq_f32) X(lt_f32) X(le_f32)              \
  X(add_i32) X(sub_i32) X(mul_i32) X(div_i32) X(max_i32) X(min_i32) X(pow_i32) X(abs_i32)        \
  X(neg_i32) X(sign_i32) X(eq_i32) X(lt_i32) X(le_i32)                                           \
  X(div_u32) X(max_u32) X(min_u32) X(pow_u32) X(lt_u32) X(le_u32)                                \
  X(int8_i32) X(uint8_u32) X(int4_i32) X(uint4_u32) X(select_u32) X(and_u32) X(or_u32)           \
  X(xor_u32) X(not_u32) X(one_u32)                                                               \
  X(add_i64) X(sub_i64) X(mul_i64) X(div_i64) X(max_i64) X(min_i64) X(pow_i64) X(abs_i64)        \
  X(neg_i64) X(sign_i64) X(eq_i64) X(lt_i64) X(le_i64)                                           \
  X(div_u64) X(max_u64) X(min_u64) X(pow_u64) X(lt_u64) X(le_u64) X(select_u64)                  \
  X(i32_of_f32) X(u32_of_f32) X(i64_of_f32) X(u64_of_f32) X(f32_of_i32) X(f32_of_u32)            \
  X(f32_of_i64) X(f32_of_u64) X(i64_of_i32) X(i64_of_u32) X(i32_of_i64)

#define DECLARE(name) Instruction tile_##name;
OPCODES(DECLARE)
#undef DECLARE

#define INSTRUCTION(name) \
  void tile_##name(void *y, const void *a, const void *b, const void *c, u32 n)
// vectors of 4-byte elements, four at a time, since a loop's end costs as much as a vector; p, q and
// r are the operands
#define VECTORS(operands, made)                    \
  for (u32 i = 0; i < n; i += 16) {                \
    _Pragma("clang loop unroll(full)")             \
    for (u32 j = i; j < i + 16; j += 4) {          \
      operands                                     \
      store((u32 *)y + j, made);                   \
    }                                              \
  }
#define LANES(x) load((const u32 *)x + j)
#define EACH4(name, made) INSTRUCTION(name) { VECTORS(v128 p = LANES(a);, made) }
#define PAIR4(name, made) \
  INSTRUCTION(name) { VECTORS(v128 p = LANES(a); v128 q = LANES(b);, made) }
#define TRIPLE4(name, made) \
  INSTRUCTION(name) { VECTORS(v128 p = LANES(a); v128 q = LANES(b); v128 r = LANES(c);, made) }
// one at a time, where what is made of a vector is long
#define LONG4(name, made)                          \
  INSTRUCTION(name) {                              \
    for (u32 j = 0; j < n; j += 4) {               \
      v128 p = LANES(a);                           \
      store((u32 *)y + j, made);                   \
    }                                              \
  }
// one element at a time, from type T to type M
#define SINGLE(name, M, T, made)                                                  \
  INSTRUCTION(name) {                                                             \
    _Pragma("clang loop vectorize(disable) unroll(disable)")                      \
    for (u32 i = 0; i < n; i++) {                                                 \
      T p = ((const T *)a)[i];                                                    \
      ((M *)y)[i] = made;                                                         \
    }                                                                             \
  }
#define SINGLES(name, M, T, made)                                                 \
  INSTRUCTION(name) {                                                             \
    _Pragma("clang loop vectorize(disable) unroll(disable)")                      \
    for (u32 i = 0; i < n; i++) {                                                 \
      T p = ((const T *)a)[i], q = ((const T *)b)[i];                             \
      ((M *)y)[i] = made;                                                         \
    }                                                                             \
  }
