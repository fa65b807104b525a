// quant_gather.c  y[i] = row ids[i] of a quantised matrix
// bindings        0 panels, 1 ids, 2 y [S, K]
// numbers         form, groups of a panel, blocks of a group, rows of the matrix, its width K
// items           ids; what is outside is taken to the nearest row, as gather does
#include "quant.h"

typedef struct {
  f32 scale, minimum;
} Pair;

INLINE Pair pair_of(const u8 *p, u32 form, u32 row) {
  Scales s = scales_of(p, form);
  f32 scale[ROWS], minimum[ROWS];
  f32 up = form & WIDE ? 1.0f : 5192296858534827628530496329220096.0f;  // 2^112
  for (int i = 0; i < 2; i++) store(scale + 4 * i, s.scale[i]), store(minimum + 4 * i, s.minimum[i]);
  return (Pair){scale[row] * up, minimum[row] * up};
}

INLINE i32 code_of(const u8 *w, u32 form, u32 row, u32 k) {
  if (form & BITS8) return ((const i8 *)w)[k / 2 * 16 + row * 2 + k % 2];
  return w[code_place(row, k)] >> row / 4 * 4 & 15;
}

KERNEL(quant_gather) {
  u32 form = a[3], groups = a[4], blocks = a[5], height = a[6], width = a[7];
  u32 code = code_bytes(form), block = form & HALVES ? 16 : 32;
  u32 bytes = groups * (scale_bytes(form) + blocks * code);
  for (u32 i = begin; i < end; i++) {
    i32 id = PTR(const i32, 1)[i];
    id = id < 0 ? id + (i32)height : id;
    u32 row = id < 0 ? 0 : least((u32)id, height - 1);
    const u8 *w = PTR(const u8, 0) + row / ROWS * bytes;
    f32 *y = PTR(f32, 2) + i * width;
    u32 k = 0;
    for (u32 g = 0; g < groups; g++) {
      Pair pair = pair_of(w, form, row % ROWS);
      w += scale_bytes(form);
      for (u32 b = 0; b < blocks; b++, w += code)
        for (u32 j = 0; j < block && k < width; j++, k++)
          y[k] = (f32)code_of(w, form, row % ROWS, j) * pair.scale + pair.minimum;
    }
  }
}
