// quant_panel.c  a panel of 8 rows of a quantised matrix times a tile of quantised activations
//
// int16 times up to 240 or int8: 16 sums of pairs, of at most 2 * 32767 * 240 each, fit 32 bits.
#include "quant.h"

#define UNROLL _Pragma("clang loop unroll(full)")

// Steps along K stay a loop: unrolled, the compiler orders them by sums and spills all else.
#define ROLLED _Pragma("clang loop unroll(disable)")

INLINE void clear(int rows, v128 out[][2]) {
  UNROLL for (int r = 0; r < rows; r++) out[r][0] = out[r][1] = wasm_i32x4_const_splat(0);
}

// 4 * n steps of 4-bit codes; those of rows 4 to 7 count 16 times
INLINE void block_of_4(const u8 *w, const u8 *x, int rows, int n, v128 out[][2]) {
  v128 low = wasm_i16x8_const_splat(15), high = wasm_i16x8_const_splat(240);
  clear(rows, out);
  ROLLED for (const u8 *end = w + 16 * n; w != end; w += 16, x += 8) {
    v128 v = load(w), u = wasm_u16x8_shr(v, 8);
    UNROLL for (int half = 0; half < 2; half++, v = u) {
      v128 q0 = wasm_v128_and(v, low), q1 = wasm_v128_and(v, high);
      UNROLL for (int r = 0; r < rows; r++) {
        v128 b = wasm_v128_load32_splat(x + 64 * r + 4 * half);
        out[r][0] = wasm_i32x4_add(out[r][0], wasm_i32x4_dot_i16x8(b, q0));
        out[r][1] = wasm_i32x4_add(out[r][1], wasm_i32x4_dot_i16x8(b, q1));
      }
    }
  }
}

// 2 * n steps of 8-bit codes
INLINE void block_of_8(const u8 *w, const u8 *x, int rows, int n, v128 out[][2]) {
  clear(rows, out);
  ROLLED for (const u8 *end = w + 16 * n; w != end; w += 16, x += 4) {
    v128 v0 = wasm_i16x8_load8x8(w), v1 = wasm_i16x8_load8x8(w + 8);
    UNROLL for (int r = 0; r < rows; r++) {
      v128 b = wasm_v128_load32_splat(x + 64 * r);
      out[r][0] = wasm_i32x4_add(out[r][0], wasm_i32x4_dot_i16x8(b, v0));
      out[r][1] = wasm_i32x4_add(out[r][1], wasm_i32x4_dot_i16x8(b, v1));
    }
  }
}

// `half`: which sum of the activations goes with the minimum, 1 and 2 for halves of a block, 3 for all
INLINE void add_block(const Scales *s, const u8 *meta, int rows, int half, v128 d[][2],
                      v128 sums[][2]) {
  UNROLL for (int r = 0; r < rows; r++) {
    v128 scale = wasm_v128_load32_splat(meta + 16 * r);
    v128 total = wasm_v128_load32_splat(meta + 16 * r + 4 * half);
    UNROLL for (int i = 0; i < 2; i++) {
      v128 y = madd(s->minimum[i], total, sums[r][i]);
      sums[r][i] = madd(wasm_f32x4_convert_i32x4(d[r][i]), wasm_f32x4_mul(s->scale[i], scale), y);
    }
  }
}

INLINE void panel(const u8 *w, const u8 *x, u32 groups, u32 blocks, u32 form, int bits, int rows,
                  v128 sums[][2]) {
  u32 code = code_bytes(form), scale = scale_bytes(form);
  f32 high = bits == 8 ? 1.0f : 16.0f;  // what rows 4 to 7 have too much
  v128 y[TILE][2], d[TILE][2];
  UNROLL for (int r = 0; r < rows; r++) y[r][0] = y[r][1] = F(0.0f);
  for (u32 g = 0; g < groups; g++) {
    Scales s = scales_of(w, form);
    s.minimum[1] = wasm_f32x4_mul(s.minimum[1], wasm_f32x4_splat(high));
    w += scale;
    if (form & HALVES) {
      int half = g & 1;
      if (bits == 8) block_of_8(w, x + 32 * half, rows, 8, d);
      else block_of_4(w, x + 32 * half, rows, 4, d);
      add_block(&s, x + 64 * rows, rows, 1 + half, d, y);
      if (half) x += X_BYTES * rows;
      w += code;
      continue;
    }
    for (u32 b = 0; b < blocks; b++, w += code, x += X_BYTES * rows) {
      if (bits == 8) block_of_8(w, x, rows, 16, d);
      else block_of_4(w, x, rows, 8, d);
      add_block(&s, x + 64 * rows, rows, 3, d, y);
    }
  }
  UNROLL for (int r = 0; r < rows; r++) {
    sums[r][0] = wasm_f32x4_mul(y[r][0], wasm_f32x4_splat(back(form)));
    sums[r][1] = wasm_f32x4_mul(y[r][1], wasm_f32x4_splat(back(form) / high));
  }
}

void panel_of_4(const u8 *w, const u8 *x, u32 groups, u32 blocks, u32 form, u32 rows, Sums sums) {
  if (rows == 1) panel(w, x, groups, blocks, form, 4, 1, sums);
  else panel(w, x, groups, blocks, form, 4, TILE, sums);
}

void panel_of_8(const u8 *w, const u8 *x, u32 groups, u32 blocks, u32 form, u32 rows, Sums sums) {
  if (rows == 1) panel(w, x, groups, blocks, form, 8, 1, sums);
  else panel(w, x, groups, blocks, form, 8, TILE, sums);
}
