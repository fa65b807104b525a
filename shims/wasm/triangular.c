// triangular.c  y = x on one side of a diagonal, and on it; 0 on the other
// bindings      0 x [rows, columns] many times, 1 y as x
// numbers       bytes of an element; rows; columns; diagonal; whether the upper side is kept
// items         rows of all matrices
#include "kernel.h"

KERNEL(triangular) {
  i32 size = (i32)a[2], columns = (i32)a[4];
  for (u32 i = begin; i < end; i++) {
    i32 cut = (i32)(i % a[3]) + (i32)a[5] + !a[6];  // the first column after those on the left
    cut = cut < 0 ? 0 : cut > columns ? columns : cut;
    i32 first = a[6] ? cut : 0, n = a[6] ? columns - cut : cut;
    u8 *y = PTR(u8, 1) + i * columns * size;
    __builtin_memset(y, 0, columns * size);
    __builtin_memcpy(y + first * size, PTR(const u8, 0) + (i * columns + first) * size, n * size);
  }
}
