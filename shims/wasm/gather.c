// gather.c  elements chosen by tensors of positions
// source    positions as WebNN allows: from the end if negative, clamped
// dtypes    of any size in bytes; positions i32, u32 or i64
#include "index.h"

enum { LOOKED_UP = 4096 };  // positions that are kept for all rows

// Elements begin to end - 1 of y[o, i] = x[o, at[i]]
static void words(const u32 *x, const void *at, u32 kind, u32 n, u32 k, u32 begin, u32 end, u32 *y) {
  u32 from[LOOKED_UP];
  for (u32 i = 0; i < k; i++) from[i] = position(at, i, kind, n);
  while (begin < end) {
    const u32 *row = x + begin / k * n;
    u32 c = begin % k, last = least(k, c + end - begin), *to = y + (begin - c);
    begin += last - c;
    for (; c + 4 <= last; c += 4)
      store(to + c, wasm_u32x4_make(row[from[c]], row[from[c + 1]], row[from[c + 2]],
                                    row[from[c + 3]]));
    for (; c < last; c++) to[c] = row[from[c]];
  }
}

// y[o, i, :] = x[o, at[i], :]
// bindings  0 x [outer, n, inner], 1 at [k], 2 y [outer, k, inner]
// numbers   bytes of an element; kind of positions; n; inner; k
// items     slices of y: outer * k
KERNEL(gather) {
  u32 kind = a[4], n = a[5], bytes = a[6] * a[3], k = a[7];
  if (bytes == 4 && k <= LOOKED_UP && end - begin >= k) {
    words(PTR(const u32, 0), PTR(const void, 1), kind, n, k, begin, end, PTR(u32, 2));
    return;
  }
  for (u32 i = begin; i < end; i++) {
    u32 from = position(PTR(const void, 1), i % k, kind, n);
    __builtin_memcpy(PTR(u8, 2) + i * bytes, PTR(const u8, 0) + (i / k * n + from) * bytes, bytes);
  }
}

// y[o, i, j] = x[o, at[o, i, j], j]
// bindings  0 x [outer, n, inner], 1 at [outer, k, inner], 2 y as at
// numbers   bytes of an element; kind of positions; n; inner; k
// items     rows of y: outer * k
#define CHOOSE(T)                                                            \
  for (u32 j = 0; j < inner; j++) {                                          \
    u32 from = position(at, i * inner + j, kind, n);                         \
    PTR(T, 2)[i * inner + j] = PTR(const T, 0)[(i / k * n + from) * inner + j]; \
  }                                                                          \
  break

KERNEL(gather_elements) {
  const void *at = PTR(const void, 1);
  u32 kind = a[4], n = a[5], inner = a[6], k = a[7];
  for (u32 i = begin; i < end; i++) switch (a[3]) {
    case 1: CHOOSE(u8);
    case 2: CHOOSE(u16);
    case 4: CHOOSE(u32);
    case 8: CHOOSE(u64);
  }
}

// y[i, :] = x[at[i, 0], at[i, 1], ..., :]
// bindings  0 x, 1 at [k, depth], 2 y [k, inner]
// numbers   bytes of an element; kind of positions; inner; depth; the first `depth` sizes of x
// items     slices of y: k
KERNEL(gather_nd) {
  u32 bytes = a[5] * a[3], depth = a[6];
  for (u32 i = begin; i < end; i++) {
    u32 from = place(PTR(const void, 1), i, a[4], depth, a + 7);
    __builtin_memcpy(PTR(u8, 2) + i * bytes, PTR(const u8, 0) + from * bytes, bytes);
  }
}
