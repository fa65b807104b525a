// reduce.c  y = an operator's fold of each row: sums, products, extremes
// shapes    x [outer, n, inner] -> y [outer, inner]; a row runs along n
// numbers   n, inner, fold (of FOLDS), last (of LAST)
// items     rows
//
// Long sums are added in pieces, so that rounding grows with a piece and with their number.
#include "math.h"

enum FOLDS { SUM, MAGNITUDES, SQUARES, PRODUCT, LARGEST, LEAST, LARGEST_UNSIGNED, LEAST_UNSIGNED };
enum LAST { NOTHING, MEAN, ROOT, LOGARITHM };
#define PIECE 4096  // elements of a row that are added before they meet the others
#define INFINITE __builtin_inff()

#define SAME(v) (v)
#define SQUARE(v) ((v) * (v))
#define ABSOLUTE(v) __builtin_elementwise_abs(v)
#define MAGNITUDE_32(v) (((v) ^ (0 - ((v) >> 31))) - (0 - ((v) >> 31)))
#define MAGNITUDE_64(v) (((v) ^ (0 - ((v) >> 63))) - (0 - ((v) >> 63)))
#define ADD(a, b) ((a) + (b))
#define MUL(a, b) ((a) * (b))
#define LARGER(a, b) __builtin_elementwise_max(a, b)
#define LESSER(a, b) __builtin_elementwise_min(a, b)
#define LARGER_OR_NAN(a, b) __builtin_elementwise_maximum(a, b)
#define LESSER_OR_NAN(a, b) __builtin_elementwise_minimum(a, b)

// `name(x, y, n, inner, begin, end)` for elements T: EACH of an element, FOLD of two. A column has
// the same steps in a vector and alone, as its result does not depend on its neighbours.
#define FOLDED(name, T, BYTES, START, EACH, FOLD)                                     \
  enum { name##_lanes = BYTES / sizeof(T) };                                          \
  typedef T name##_v __attribute__((vector_size(BYTES)));                             \
  INLINE name##_v name##_load(const T *x) {                                           \
    name##_v v;                                                                       \
    __builtin_memcpy(&v, x, BYTES);                                                   \
    return v;                                                                         \
  }                                                                                   \
  INLINE name##_v name##_start(void) {                                                \
    return (name##_v){} + (T)(START);                                                 \
  }                                                                                   \
  static T name##_row(const T *x, u32 n) {                                            \
    name##_v total = name##_start();                                                  \
    T rest = START;                                                                   \
    u32 i = 0;                                                                        \
    while (i + name##_lanes <= n) {                                                   \
      u32 last = least(n, i + PIECE);                                                 \
      name##_v piece = name##_start();                                                \
      for (; i + name##_lanes <= last; i += name##_lanes)                             \
        piece = FOLD(piece, EACH(name##_load(x + i)));                                \
      total = FOLD(total, piece);                                                     \
    }                                                                                 \
    for (; i < n; i++) rest = FOLD(rest, EACH(x[i]));                                 \
    if (n < name##_lanes) return rest;                                                \
    T lanes[name##_lanes];                                                            \
    __builtin_memcpy(lanes, &total, BYTES);                                           \
    for (u32 half = name##_lanes / 2; half; half /= 2)                                \
      for (u32 lane = 0; lane < half; lane++)                                         \
        lanes[lane] = FOLD(lanes[lane], lanes[lane + half]);                          \
    return FOLD(rest, lanes[0]);                                                      \
  }                                                                                   \
  static void name##_columns(const T *x, T *y, u32 n, u32 inner, u32 m) {             \
    u32 j = 0;                                                                        \
    for (; j + name##_lanes <= m; j += name##_lanes) {                                \
      name##_v total = name##_start();                                                \
      for (u32 i = 0; i < n;) {                                                       \
        name##_v piece = name##_start();                                              \
        for (u32 last = least(n, i + PIECE / name##_lanes); i < last; i++)            \
          piece = FOLD(piece, EACH(name##_load(x + i * inner + j)));                  \
        total = FOLD(total, piece);                                                   \
      }                                                                               \
      __builtin_memcpy(y + j, &total, BYTES);                                         \
    }                                                                                 \
    for (; j < m; j++) {                                                              \
      T total = START;                                                                \
      for (u32 i = 0; i < n;) {                                                       \
        T piece = START;                                                              \
        for (u32 last = least(n, i + PIECE / name##_lanes); i < last; i++)            \
          piece = FOLD(piece, EACH(x[i * inner + j]));                                \
        total = FOLD(total, piece);                                                   \
      }                                                                               \
      y[j] = total;                                                                   \
    }                                                                                 \
  }                                                                                   \
  static void name(const T *x, T *y, u32 n, u32 inner, u32 begin, u32 end) {          \
    for (u32 at = begin; at < end;) {                                                 \
      u32 j = at % inner, m = least(inner - j, end - at);                             \
      const T *from = x + at / inner * n * inner + j;                                 \
      if (inner == 1) y[at] = name##_row(from, n);                                    \
      else name##_columns(from, y + at, n, inner, m);                                 \
      at += m;                                                                        \
    }                                                                                 \
  }

#define CASE(fold, name, T) \
  case fold: name(PTR(const T, 0), PTR(T, 1), a[2], a[3], begin, end); break

FOLDED(sum_f32, f32, 64, 0, SAME, ADD)
FOLDED(magnitudes_f32, f32, 64, 0, ABSOLUTE, ADD)
FOLDED(squares_f32, f32, 64, 0, SQUARE, ADD)
FOLDED(product_f32, f32, 64, 1, SAME, MUL)
FOLDED(largest_f32, f32, 64, -INFINITE, SAME, LARGER_OR_NAN)
FOLDED(least_f32, f32, 64, INFINITE, SAME, LESSER_OR_NAN)

KERNEL(reduce_f32) {
  switch (a[4]) {
    CASE(SUM, sum_f32, f32);
    CASE(MAGNITUDES, magnitudes_f32, f32);
    CASE(SQUARES, squares_f32, f32);
    CASE(PRODUCT, product_f32, f32);
    CASE(LARGEST, largest_f32, f32);
    CASE(LEAST, least_f32, f32);
  }
  f32 *y = PTR(f32, 1), n = (f32)a[2];
  if (a[5] == MEAN) for (u32 i = begin; i < end; i++) y[i] /= n;
  if (a[5] == ROOT) for (u32 i = begin; i < end; i++) y[i] = __builtin_sqrtf(y[i]);
  if (a[5] == LOGARITHM)
    for (u32 i = begin; i < end; i++) y[i] = wasm_f32x4_extract_lane(log4(splat(y + i)), 0);
}

// sums and products wrap around, so they are those of unsigned numbers
#define INTEGERS(bits)                                                               \
  FOLDED(sum_##bits, u##bits, 16, 0, SAME, ADD)                                          \
  FOLDED(magnitudes_##bits, u##bits, 16, 0, MAGNITUDE_##bits, ADD)                       \
  FOLDED(squares_##bits, u##bits, 16, 0, SQUARE, ADD)                                    \
  FOLDED(product_##bits, u##bits, 16, 1, SAME, MUL)                                      \
  EXTREMES(bits)                                                                     \
  KERNEL(reduce_i##bits) {                                                           \
    switch (a[4]) {                                                                  \
      CASE(SUM, sum_##bits, u##bits);                                                \
      CASE(MAGNITUDES, magnitudes_##bits, u##bits);                                  \
      CASE(SQUARES, squares_##bits, u##bits);                                        \
      CASE(PRODUCT, product_##bits, u##bits);                                        \
      EXTREME_CASES(bits)                                                            \
    }                                                                                \
  }
#define EXTREMES(bits)                                                               \
  FOLDED(largest_i##bits, i##bits, 16, (i##bits)((u##bits)1 << (bits - 1)), SAME, LARGER) \
  FOLDED(least_i##bits, i##bits, 16, (i##bits)((u##bits)-1 >> 1), SAME, LESSER)          \
  FOLDED(largest_u##bits, u##bits, 16, 0, SAME, LARGER)                                  \
  FOLDED(least_u##bits, u##bits, 16, (u##bits)-1, SAME, LESSER)
#define EXTREME_CASES(bits)                                                          \
  CASE(LARGEST, largest_i##bits, i##bits);                                           \
  CASE(LEAST, least_i##bits, i##bits);                                               \
  CASE(LARGEST_UNSIGNED, largest_u##bits, u##bits);                                  \
  CASE(LEAST_UNSIGNED, least_u##bits, u##bits);

INTEGERS(32)
INTEGERS(64)
EXTREMES(8)

KERNEL(reduce_i8) {
  switch (a[4]) { EXTREME_CASES(8) }
}
