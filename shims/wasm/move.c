// move.c    y[out + sum of i * t] = x[in + sum of i * s]: any view of a tensor to any other
// shapes    of any number of axes; strides count elements and may be 0 or negative
// numbers   size of an element in bytes (1, 2, 4, 8); axes; in; out; which axes of x run backwards,
//           as bits; then a size n, and strides s and t, for each axis
// items     rows: all axes but the last
#include "kernel.h"

#define MAX_AXES 16

typedef struct {
  u32 n;
  i32 from, to;  // strides
} Axis;

#define ROW(T)                                                                             \
  if (last.from == 1 && last.to == 1) __builtin_memcpy((T *)y + to, (const T *)x + from, last.n * sizeof(T)); \
  else for (u32 i = 0; i < last.n; i++)                                                    \
    ((T *)y)[to + (i32)i * last.to] = ((const T *)x)[from + (i32)i * last.from];           \
  break

static void row(u32 size, void *y, i32 to, const void *x, i32 from, Axis last) {
  switch (size) {
    case 1: ROW(u8);
    case 2: ROW(u16);
    case 4: ROW(u32);
    case 8: ROW(u64);
  }
}

KERNEL(move) {
  u32 size = a[2], n_axes = a[3], backwards = a[6];
  Axis axes[MAX_AXES];
  for (u32 k = 0; k < n_axes; k++) {
    i32 from = (i32)a[8 + 3 * k];
    axes[k] = (Axis){a[7 + 3 * k], backwards >> k & 1 ? -from : from, (i32)a[9 + 3 * k]};
  }
  Axis last = axes[n_axes - 1];
  i32 from = (i32)a[4], to = (i32)a[5];
  u32 at[MAX_AXES];
  for (u32 k = n_axes - 1, left = begin; k-- > 0; left /= axes[k].n) {
    at[k] = left % axes[k].n;
    from += (i32)at[k] * axes[k].from;
    to += (i32)at[k] * axes[k].to;
  }
  for (u32 i = begin; i < end; i++) {
    row(size, PTR(void, 1), to, PTR(const void, 0), from, last);
    for (u32 k = n_axes - 1; k-- > 0;) {
      from += axes[k].from;
      to += axes[k].to;
      if (++at[k] < axes[k].n) break;
      at[k] = 0;
      from -= (i32)axes[k].n * axes[k].from;
      to -= (i32)axes[k].n * axes[k].to;
    }
  }
}

// bindings  0 y write
// numbers   size of an element; elements; the low and the high word of what each becomes
// items     blocks of 4096 elements
#define FILL(T)                                                     \
  for (u32 i = begin * 4096; i < last; i++) PTR(T, 0)[i] = (T)bits; \
  break

KERNEL(fill) {
  u32 last = least(end * 4096, a[2]);
  u64 bits = (u64)a[4] << 32 | a[3];
  switch (a[1]) {
    case 1: FILL(u8);
    case 2: FILL(u16);
    case 4: FILL(u32);
    case 8: FILL(u64);
  }
}
