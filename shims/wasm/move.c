// move.c    y[out + sum of i * t] = x[in + sum of i * s]: any view of a tensor to any other
// shapes    of any number of axes; strides count elements and may be 0 or negative
// numbers   size of an element in bytes (1, 2, 4, 8); axes; in; out; which axes of x run backwards,
//           as bits; then a size n, and strides s and t, for each axis
// items     rows: all axes but the last
#include "kernel.h"

#define MAX_AXES 16
#define LINE 16

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

// y[i, j] = x[j, i] for four of each; the strides are those from one j of x and one i of y
static void square(u32 *y, i32 to, const u32 *x, i32 from) {
  v128 a = load(x), b = load(x + from), c = load(x + 2 * from), d = load(x + 3 * from);
  v128 ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), ba = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
  v128 cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), dc = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
  store(y, wasm_i64x2_shuffle(ab, cd, 0, 2));
  store(y + to, wasm_i64x2_shuffle(ab, cd, 1, 3));
  store(y + 2 * to, wasm_i64x2_shuffle(ba, dc, 0, 2));
  store(y + 3 * to, wasm_i64x2_shuffle(ba, dc, 1, 3));
}

// Rows of words that lie side by side where they come from: a transposition, in squares. As many
// rows as a line of the cache has words are done at once, at most.
static void rows_across(u32 rows, u32 *y, i32 to, const u32 *x, Axis last) {
  u32 j = 0;
  for (; j + 4 <= last.n; j += 4)
    for (u32 i = 0; i < rows; i += 4)
      square(y + (i32)i * to + (i32)j, to, x + i + (i32)j * last.from, last.from);
  for (; j < last.n; j++)
    for (u32 i = 0; i < rows; i++) y[(i32)i * to + (i32)j] = x[i + (i32)j * last.from];
}

KERNEL(move) {
  u32 size = a[2], n_axes = a[3], backwards = a[6];
  Axis axes[MAX_AXES];
  for (u32 k = 0; k < n_axes; k++) {
    i32 from = (i32)a[8 + 3 * k];
    axes[k] = (Axis){a[7 + 3 * k], backwards >> k & 1 ? -from : from, (i32)a[9 + 3 * k]};
  }
  Axis last = axes[n_axes - 1], next = n_axes > 1 ? axes[n_axes - 2] : (Axis){0, 0, 0};
  int across = size == 4 && next.from == 1 && last.to == 1 && last.from != 1;
  i32 from = (i32)a[4], to = (i32)a[5];
  u32 at[MAX_AXES];
  for (u32 k = n_axes - 1, left = begin; k-- > 0; left /= axes[k].n) {
    at[k] = left % axes[k].n;
    from += (i32)at[k] * axes[k].from;
    to += (i32)at[k] * axes[k].to;
  }
  for (u32 i = begin, rows; i < end; i += rows) {
    rows = across ? least(least(LINE, end - i), next.n - at[n_axes - 2]) & ~3u : 0;
    if (rows) rows_across(rows, PTR(u32, 1) + to, next.to, PTR(const u32, 0) + from, last);
    else rows = 1, row(size, PTR(void, 1), to, PTR(const void, 0), from, last);
    for (u32 k = n_axes - 1, more = rows; k-- > 0; more = 1) {
      from += (i32)more * axes[k].from;
      to += (i32)more * axes[k].to;
      if ((at[k] += more) < axes[k].n) break;
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
