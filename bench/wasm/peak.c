// peak  what Wasm can do at best on a machine: bytes read, multiply-adds in f32 and in 8 bit
//
// Each function goes `rounds` times over `nbytes` of memory, a multiple of 256, and returns a number
// that depends on all of it, so that nothing is left out. The products are those of a kernel that
// holds a block of 2 × 4 sums in registers: two vectors are loaded, eight products are added.

#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) int name
#define ROWS 2
#define COLUMNS 4 // with ROWS: sums enough to hide latency, and all operands in 16 registers

typedef v128_t v128;

static int sum(const v128 *a, int n) {
  v128 all = a[0];
  for (int j = 1; j < n; j++) all = wasm_v128_xor(all, a[j]);
  return wasm_i32x4_extract_lane(all, 0) + wasm_i32x4_extract_lane(all, 1) +
         wasm_i32x4_extract_lane(all, 2) + wasm_i32x4_extract_lane(all, 3);
}

EXPORT(read)(const char *at, int nbytes, int rounds) {
  v128 a[8] = {0};
  for (int r = 0; r < rounds; r++)
    for (int i = 0; i < nbytes; i += 128)
      for (int j = 0; j < 8; j++) a[j] = wasm_v128_xor(a[j], wasm_v128_load(at + i + 16 * j));
  return sum(a, 8);
}

// The columns come from behind the rows' bytes and stay in registers.
#define PRODUCTS(name, zero, step)                                                               \
  EXPORT(name)(const char *at, int nbytes, int rounds) {                                         \
    v128 a[ROWS * COLUMNS], y[COLUMNS];                                                          \
    for (int j = 0; j < ROWS * COLUMNS; j++) a[j] = zero;                                        \
    for (int j = 0; j < COLUMNS; j++) y[j] = wasm_v128_load(at + nbytes + 16 * j);               \
    for (int r = 0; r < rounds; r++)                                                             \
      for (int i = 0; i < nbytes; i += 16 * ROWS)                                                \
        for (int k = 0; k < ROWS; k++) {                                                         \
          v128 x = wasm_v128_load(at + i + 16 * k);                                              \
          for (int j = 0; j < COLUMNS; j++) a[COLUMNS * k + j] = step(x, y[j], a[COLUMNS * k + j]); \
        }                                                                                        \
    return sum(a, ROWS * COLUMNS);                                                               \
  }

#define ADD16(x, y, a) wasm_i16x8_add(a, wasm_i16x8_relaxed_dot_i8x16_i7x16(x, y))

PRODUCTS(madd, wasm_f32x4_splat(0), wasm_f32x4_relaxed_madd) // 4 multiply-adds
PRODUCTS(dot16, wasm_i16x8_splat(0), ADD16)                  // 16, summed in i16: widened late
PRODUCTS(dot32, wasm_i32x4_splat(0), wasm_i32x4_relaxed_dot_i8x16_i7x16_add) // 16, in i32
