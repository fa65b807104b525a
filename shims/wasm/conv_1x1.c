// conv_1x1  y = bias + filter x, pixel by pixel: conv2d with a window of one element and no padding
// shapes    x [N, G C, P] with strides; filter [G M, C]; bias [G M]; y [N, G M, P], P = H W
// bindings  0 x, 1 filter, 2 bias (anything if there is none), 3 y
// numbers   4 N, G, C, M, P; 9 x: offset, strides of N, C, P; 13 has bias; 14 pixels of an item, a
//           multiple of 8; channels that it packs at once
// items     N x G x blocks of pixels; more of them do nothing
#include "gemm.h"

enum { PACKED = 49152 };  // floats: 192 KiB

// Rows of neighbours to panels, all of a row at a time: it lies in few lines of the cache.
static void pack(const f32 *x, i32 by_k, i32 by_n, u32 k, u32 columns, f32 *to) {
  u32 whole = by_n == 1 ? columns & ~(PANEL - 1u) : 0;
  const f32 *from = x;
  for (u32 i = 0; i < k && whole; i++, from += by_k)
    for (u32 c = 0; c < whole; c += PANEL) {
      store(to + c * k + i * PANEL, load(from + c));
      store(to + c * k + i * PANEL + 4, load(from + c + 4));
    }
  for (u32 c = whole; c < columns; c += PANEL)
    pack_panel(x + (i32)c * by_n, by_k, by_n, k, least(columns - c, PANEL), to + c * k);
}

KERNEL(conv_1x1) {
  u32 groups = a[5], depth = a[6], m = a[7], pixels = a[8], each = a[14], part = a[15];
  i32 by_n = (i32)a[12], by_k = (i32)a[11];
  u32 across = (pixels + each - 1) / each;
  f32 packed[PACKED];
  end = least(end, a[4] * groups * across);
  for (u32 item = begin; item < end; item++) {
    u32 pixel = item % across * each, g = item / across % groups, n = item / across / groups;
    u32 columns = least(each, pixels - pixel);
    const f32 *x = PTR(const f32, 0) + (i32)a[9] + (i32)n * (i32)a[10];
    x += (i32)(g * depth) * by_k + (i32)pixel * by_n;
    const f32 *filter = PTR(const f32, 1) + g * m * depth;
    f32 *y = PTR(f32, 3) + (n * groups + g) * m * pixels + pixel;
    Start start = {&NOTHING, 0, 0};
    if (a[13]) start = (Start){PTR(const f32, 2) + g * m, 1, 0};
    for (u32 c = 0; c == 0 || c < depth; c += part) {
      u32 k = least(part, depth - c);
      pack(x + (i32)c * by_k, by_k, by_n, k, columns, packed);
      multiply(filter + c, depth, packed, k, k, start, y, pixels, m, columns);
      start = (Start){y, pixels, 1};
    }
  }
}
