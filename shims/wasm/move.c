// move.c    y[i0, i1, ...] = x[offset + sum of i * stride]: every view of a tensor made whole
// shapes    y of rank 4 at most, row-major; strides count elements and may be 0 or negative
// numbers   size of an element in bytes (1, 2, 4, 8); offset; sizes n0 n1 n2 n3; strides s0 s1 s2 s3
// items     rows of y: n0 * n1 * n2
#include "kernel.h"

#define ROWS(T)                                                          \
  for (u32 row = begin; row < end; row++) {                              \
    u32 i2 = row % n2, i1 = row / n2 % n1, i0 = row / n2 / n1;           \
    const T *from = PTR(const T, 0) + offset + (i32)i0 * s0 + (i32)i1 * s1 + (i32)i2 * s2; \
    T *to = PTR(T, 1) + row * n3;                                        \
    if (s3 == 1) __builtin_memcpy(to, from, n3 * sizeof(T));             \
    else for (u32 i = 0; i < n3; i++) to[i] = from[(i32)i * s3];         \
  }                                                                      \
  break

KERNEL(move) {
  i32 offset = (i32)a[3];
  u32 n1 = a[5], n2 = a[6], n3 = a[7];
  i32 s0 = (i32)a[8], s1 = (i32)a[9], s2 = (i32)a[10], s3 = (i32)a[11];
  switch (a[2]) {
    case 1: ROWS(u8);
    case 2: ROWS(u16);
    case 4: ROWS(u32);
    case 8: ROWS(u64);
  }
}
