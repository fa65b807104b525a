// quant_panel.c  a panel of 8 rows of a quantised matrix times a tile of quantised activations
//
// 4 bits: int8 times 0 to 15; eight sums of pairs, of at most 2 * 15 * 127 each, fit 16 bits.
// 8 bits: int16 times int8; 16 sums of pairs, of at most 2 * 32767 * 128 each, fit 32 bits.
#include "quant.h"

#define UNROLL _Pragma("clang loop unroll(full)")

// 4 * n steps of 4-bit codes
INLINE void block_of_4(const u8 *w, const u8 *x, int rows, int n, v128 out[][2]) {
  v128 nibble = wasm_i8x16_const_splat(15), a[TILE][2];
  UNROLL for (int k = 0; k < n; k++) {
    v128 v = load(w + 16 * k);
    v128 low = wasm_v128_and(v, nibble), high = wasm_v128_and(wasm_u16x8_shr(v, 4), nibble);
    UNROLL for (int r = 0; r < rows; r++) {
      v128 b = wasm_v128_load32_splat(x + 32 * r + 4 * k);
      v128 d0 = dot7(b, low), d1 = dot7(b, high);
      a[r][0] = k ? wasm_i16x8_add(a[r][0], d0) : d0;
      a[r][1] = k ? wasm_i16x8_add(a[r][1], d1) : d1;
    }
  }
  v128 one = wasm_i16x8_const_splat(1);
  UNROLL for (int r = 0; r < rows; r++)
    UNROLL for (int i = 0; i < 2; i++) out[r][i] = wasm_i32x4_dot_i16x8(a[r][i], one);
}

// 2 * n steps of 8-bit codes
INLINE void block_of_8(const u8 *w, const u8 *x, int rows, int n, v128 out[][2]) {
  UNROLL for (int k = 0; k < n; k++) {
    v128 v0 = wasm_i16x8_load8x8(w + 16 * k), v1 = wasm_i16x8_load8x8(w + 16 * k + 8);
    UNROLL for (int r = 0; r < rows; r++) {
      v128 b = wasm_v128_load32_splat(x + 64 * r + 4 * k);
      v128 d0 = wasm_i32x4_dot_i16x8(b, v0), d1 = wasm_i32x4_dot_i16x8(b, v1);
      out[r][0] = k ? wasm_i32x4_add(out[r][0], d0) : d0;
      out[r][1] = k ? wasm_i32x4_add(out[r][1], d1) : d1;
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
  int codes = bits == 8 ? 64 : 32;
  v128 y[TILE][2], d[TILE][2];
  UNROLL for (int r = 0; r < rows; r++) y[r][0] = y[r][1] = F(0.0f);
  if (form & HALVES) {
    for (u32 g = 0; g < groups; g++) {
      Scales s = scales_of(w, form);
      w += scale;
      int half = g & 1, at = half * codes / 2;
      if (bits == 8) block_of_8(w, x + at, rows, 8, d);
      else block_of_4(w, x + at, rows, 4, d);
      const u8 *meta = x + rows * codes;
      add_block(&s, meta, rows, 1 + half, d, y);
      if (half) x += rows * (codes + 16);
      w += code;
    }
  } else {
    for (u32 g = 0; g < groups; g++) {
      Scales s = scales_of(w, form);
      w += scale;
      for (u32 b = 0; b < blocks; b++) {
        if (bits == 8) block_of_8(w, x, rows, 16, d);
        else block_of_4(w, x, rows, 8, d);
        add_block(&s, x + rows * codes, rows, 3, d, y);
        x += rows * (codes + 16);
        w += code;
      }
    }
  }
  v128 b = wasm_f32x4_splat(back(form));
  UNROLL for (int r = 0; r < rows; r++)
    UNROLL for (int i = 0; i < 2; i++) sums[r][i] = wasm_f32x4_mul(y[r][i], b);
}

void panel_of_4(const u8 *w, const u8 *x, u32 groups, u32 blocks, u32 form, u32 rows, Sums sums) {
  if (rows == 1) panel(w, x, groups, blocks, form, 4, 1, sums);
  else panel(w, x, groups, blocks, form, 4, TILE, sums);
}

void panel_of_8(const u8 *w, const u8 *x, u32 groups, u32 blocks, u32 form, u32 rows, Sums sums) {
  if (rows == 1) panel(w, x, groups, blocks, form, 8, 1, sums);
  else panel(w, x, groups, blocks, form, 8, TILE, sums);
}
