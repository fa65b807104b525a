// conv_spread  convTranspose2d whose windows do not overlap: each pixel of x becomes a block of y
// shapes    x [N, G C, H, W] with strides; filters [G M KH KW, C]; bias [G M]; y [N, G M, H KH, W KW]
// bindings  0 x, 1 filters, 2 bias (anything if there is none), 3 y
// numbers   4 N, G, C, M, H, W, KH, KW; 12 x: offset, strides of N, C, H, W; 17 has bias
// items     N x G x rows of x x blocks of 32 columns; more of them do nothing
#include "gemm.h"

enum { COLUMNS = 32, DEEPEST = 1024, ROWS = 48 };

// n rows of `columns` to one: the first of each, the second of each, ...
static void weave(const f32 *from, u32 n, u32 columns, f32 bias, f32 *to) {
  u32 c = 0;
  if (n == 2)
    for (v128 b = wasm_f32x4_splat(bias); c + 4 <= columns; c += 4) {
      v128 x = wasm_f32x4_add(load(from + c), b);
      v128 y = wasm_f32x4_add(load(from + COLUMNS + c), b);
      store(to + 2 * c, wasm_i32x4_shuffle(x, y, 0, 4, 1, 5));
      store(to + 2 * c + 4, wasm_i32x4_shuffle(x, y, 2, 6, 3, 7));
    }
  for (; c < columns; c++)
    for (u32 i = 0; i < n; i++) to[c * n + i] = from[i * COLUMNS + c] + bias;
}

KERNEL(conv_spread) {
  u32 groups = a[5], depth = a[6], m = a[7], high = a[8], wide = a[9], taps[2] = {a[10], a[11]};
  u32 across = (wide + COLUMNS - 1) / COLUMNS, rows = m * taps[0] * taps[1];
  u32 part = most(ROWS / taps[1], 1) * taps[1], width = wide * taps[1];
  f32 packed[DEEPEST * COLUMNS], made[ROWS * COLUMNS];
  end = least(end, a[4] * groups * high * across);
  for (u32 item = begin; item < end; item++) {
    u32 column = item % across * COLUMNS, row = item / across % high;
    u32 g = item / across / high % groups, n = item / across / high / groups;
    u32 columns = least(COLUMNS, wide - column);
    const f32 *x = PTR(const f32, 0) + (i32)(a[12] + n * a[13] + g * depth * a[14]);
    x += (i32)(row * a[15] + column * a[16]);
    for (u32 c = 0; c < columns; c += PANEL)
      pack_panel(x + (i32)(c * a[16]), (i32)a[14], (i32)a[16], depth, least(columns - c, PANEL),
                 packed + c * depth);
    for (u32 r = 0; r < rows; r += part) {
      u32 some = least(part, rows - r);
      multiply(PTR(const f32, 1) + (g * rows + r) * depth, depth, packed, depth, depth,
               (Start){&NOTHING, 0, 0}, made, COLUMNS, some, (columns + PANEL - 1) & ~(PANEL - 1u));
      for (u32 i = 0; i < some; i += taps[1]) {
        u32 line = (r + i) / taps[1], channel = g * m + line / taps[0];
        u32 at = (n * groups * m + channel) * high * taps[0] + row * taps[0] + line % taps[0];
        weave(made + i * COLUMNS, taps[1], columns, a[17] ? PTR(const f32, 2)[channel] : 0,
              PTR(f32, 3) + at * width + column * taps[1]);
      }
    }
  }
}
