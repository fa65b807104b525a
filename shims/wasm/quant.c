// quant.c    products with quantised matrices: y = x W', plus a residual; silu(x G') (x U')
// bindings   0 panels of the matrix, 1 tiles of x, 2 residual (quant_matmul alone), last y
// numbers    form, groups of a panel, blocks of a group, rows in a tile of x, rows of x, width of y
// items      panels of 8 columns of y
// note       quant_swiglu's panels alternate: one of the gate, one of the other
#include "quant.h"

typedef struct {
  u32 form, groups, blocks, tile, rows, width, bytes, x_tile;
} Shape;

INLINE Shape shape_of(const u32 *a) {
  u32 form = a[0], groups = a[1], blocks = a[2];
  u32 bytes = groups * (scale_bytes(form) + blocks * code_bytes(form));
  u32 along = form & HALVES ? (groups + 1) / 2 : groups * blocks;
  return (Shape){form, groups, blocks, a[3], a[4], a[5], bytes, along * a[3] * X_BYTES};
}

static void panel_of(const Shape *s, const u8 *w, const u8 *x, Sums sums) {
  if (s->form & BITS8) panel_of_8(w, x, s->groups, s->blocks, s->form, s->tile, sums);
  else panel_of_4(w, x, s->groups, s->blocks, s->form, s->tile, sums);
}

// Writes a row of a panel at column n of y
INLINE void put(const Shape *s, f32 *y, u32 n, v128 low, v128 high) {
  if (n + ROWS <= s->width) {
    store(y, low);
    store(y + 4, high);
    return;
  }
  f32 all[ROWS];
  store(all, low);
  store(all + 4, high);
  for (u32 i = 0; n + i < s->width; i++) y[i] = all[i];
}

INLINE v128 get(const Shape *s, const f32 *x, u32 n, u32 at) {
  if (n + at + 4 <= s->width) return load(x + at);
  f32 some[4] = {0, 0, 0, 0};
  for (u32 i = 0; n + at + i < s->width; i++) some[i] = x[at + i];
  return load(some);
}

#define GROUP 4  // panels that stay in the cache while all of x passes

KERNEL(quant_matmul) {
  Shape s = shape_of(a + 4);
  const f32 *residual = PTR(const f32, 2);
  int adds = (int)a[10];
  for (u32 p0 = begin; p0 < end; p0 += GROUP)
    for (u32 row = 0, t = 0; row < s.rows; row += s.tile, t++)
      for (u32 p = p0; p < least(p0 + GROUP, end); p++) {
        Sums sums;
        panel_of(&s, PTR(const u8, 0) + p * s.bytes, PTR(const u8, 1) + t * s.x_tile, sums);
        for (u32 r = 0; r < least(s.tile, s.rows - row); r++) {
          u32 n = p * ROWS, at = (row + r) * s.width + n;
          if (adds) {
            sums[r][0] = wasm_f32x4_add(sums[r][0], get(&s, residual + at, n, 0));
            sums[r][1] = wasm_f32x4_add(sums[r][1], get(&s, residual + at, n, 4));
          }
          put(&s, PTR(f32, 3) + at, n, sums[r][0], sums[r][1]);
        }
      }
}

KERNEL(quant_swiglu) {
  Shape s = shape_of(a + 3);
  for (u32 p0 = begin; p0 < end; p0 += GROUP)
    for (u32 row = 0, t = 0; row < s.rows; row += s.tile, t++)
      for (u32 p = p0; p < least(p0 + GROUP, end); p++) {
        Sums gate, up;
        const u8 *w = PTR(const u8, 0) + 2 * p * s.bytes, *x = PTR(const u8, 1) + t * s.x_tile;
        panel_of(&s, w, x, gate);
        panel_of(&s, w + s.bytes, x, up);
        for (u32 r = 0; r < least(s.tile, s.rows - row); r++)
          put(&s, PTR(f32, 2) + (row + r) * s.width + p * ROWS, p * ROWS,
              wasm_f32x4_mul(silu4(gate[r][0]), up[r][0]),
              wasm_f32x4_mul(silu4(gate[r][1]), up[r][1]));
      }
}
