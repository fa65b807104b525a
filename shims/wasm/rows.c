// rows.c    the place of a row's largest or least element, and running sums
// shapes    x [outer, n, inner]; a row runs along n. arg: y [outer, inner]; cumulative: y like x
// numbers   arg: n, inner, whether the least, whether places have 64 bits
//           cumulative: n, inner, whether an element is without itself, whether from the end
// items     rows
#include "kernel.h"

// of equals the first; in floats the first NaN, where there is one
#define ARG(T)                                                                     \
  KERNEL(arg_##T) {                                                                \
    u32 n = a[2], inner = a[3], least = a[4], wide = a[5];                         \
    for (u32 at = begin; at < end; at++) {                                         \
      const T *x = PTR(const T, 0) + at / inner * n * inner + at % inner;          \
      u32 found = 0;                                                               \
      T best = n ? x[0] : 0;                                                       \
      for (u32 i = 1; i < n && best == best; i++) {                                \
        T v = x[i * inner];                                                        \
        if (least ? !(v >= best) : !(v <= best)) best = v, found = i;              \
      }                                                                            \
      if (wide) PTR(i64, 1)[at] = found;                                           \
      else PTR(i32, 1)[at] = found;                                                \
    }                                                                              \
  }
ARG(f32)
ARG(i32)
ARG(u32)
ARG(i64)
ARG(u64)
ARG(i8)
ARG(u8)

#define CUMULATIVE(T)                                                              \
  KERNEL(cumulative_##T) {                                                         \
    u32 n = a[2], inner = a[3], exclusive = a[4], reversed = a[5];                 \
    i32 step = reversed ? -(i32)inner : (i32)inner;                                \
    for (u32 at = begin; at < end; at++) {                                         \
      u32 first = at / inner * n * inner + at % inner;                             \
      if (reversed && n) first += (n - 1) * inner;                                 \
      const T *x = PTR(const T, 0) + first;                                        \
      T *y = PTR(T, 1) + first, sum = 0;                                           \
      for (u32 i = 0; i < n; i++, x += step, y += step) {                          \
        T next = sum + *x;                                                         \
        *y = exclusive ? sum : next;                                               \
        sum = next;                                                                \
      }                                                                            \
    }                                                                              \
  }
CUMULATIVE(f32)
CUMULATIVE(u32)
CUMULATIVE(u64)
