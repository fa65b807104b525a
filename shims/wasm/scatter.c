// scatter.c  elements replaced by updates; of several to one place, the last in order stays
// source     positions as in gather.c
// dtypes     of any size in bytes; positions i32, u32 or i64
#include "index.h"

// y[o, at[o, i, j], j] = x[o, i, j]: lines along i meet nobody else's places
// bindings  0 x [outer, k, inner], 1 at as x, 2 y [outer, n, inner]
// numbers   bytes of an element; kind of positions; n; inner; k
// items     lines: outer * inner
#define REPLACE(T)                                                              \
  for (u32 i = 0; i < k; i++) {                                                 \
    u32 from = (o * k + i) * inner + j;                                         \
    u32 to = position(PTR(const void, 1), from, kind, n);                       \
    PTR(T, 2)[(o * n + to) * inner + j] = PTR(const T, 0)[from];                \
  }                                                                             \
  break

KERNEL(scatter_elements) {
  u32 kind = a[4], n = a[5], inner = a[6], k = a[7];
  for (u32 line = begin; line < end; line++) {
    u32 o = line / inner, j = line % inner;
    switch (a[3]) {
      case 1: REPLACE(u8);
      case 2: REPLACE(u16);
      case 4: REPLACE(u32);
      case 8: REPLACE(u64);
    }
  }
}

// y[at[i, 0], at[i, 1], ..., :] = x[i, :]: each item does its columns of every slice
// bindings  0 x [k, inner], 1 at [k, depth], 2 y
// numbers   bytes of an element; kind of positions; inner; depth; k; the first `depth` sizes of y
// items     columns
KERNEL(scatter_nd) {
  u32 size = a[3], inner = a[5], depth = a[6], k = a[7];
  for (u32 i = 0; i < k; i++) {
    u32 to = place(PTR(const void, 1), i, a[4], depth, a + 8) * inner + begin;
    __builtin_memcpy(PTR(u8, 2) + to * size, PTR(const u8, 0) + (i * inner + begin) * size,
                     (end - begin) * size);
  }
}
