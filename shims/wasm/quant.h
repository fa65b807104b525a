// quant.h   matrices of 4-bit and 8-bit codes, and activations quantised for them
//
// A matrix [N, K] lies in panels of 8 rows. A panel is a run of groups along K: the scales (and
// minima) of 8 rows, then the codes of one or more blocks of 32 (or one of 16) along K. Lanes of a
// vector are rows, so that no sum crosses lanes:
//   4 bits   16 bytes for 4 steps along K: a pair of bytes has the steps 0 and 2 of a row, or 1 and
//            3; the low nibbles are rows 0 to 3, the high ones rows 4 to 7
//   8 bits   16 bytes for 2 steps along K: rows 0 to 7, two steps each
// Activations are 16 bits, in tiles of 1 or 4 rows: 8 bits, in blocks with an outlier, would leave
// too little of all else. A tile is a run of blocks of 32: the codes of each row, then for each row
// four floats: the scale, and scale times the sum of the codes of each half and of both.
// Scales of float16 are read as float32 of the same bits, which is 2^-112 of them; activations
// have 2^64 too much, so that nothing leaves the range of normal numbers. `back` makes up for both.
#pragma once
#include "math.h"

enum { WIDE = 1, MINIMUM = 2, BITS8 = 4, HALVES = 8 };  // of a form
#define ROWS 8
#define TILE 4
#define X_BYTES 80  // of a block of a row of x: 32 codes, 4 floats
#define UP 18446744073709551616.0f  // 2^64

INLINE u32 scale_bytes(u32 form) { return ROWS * (form & WIDE ? 4 : 2) << (form & MINIMUM ? 1 : 0); }
INLINE u32 code_bytes(u32 form) { return (form & BITS8 ? 256 : 128) >> (form & HALVES ? 1 : 0); }
INLINE f32 back(u32 form) { return form & WIDE ? 1.0f / UP : 281474976710656.0f; }

// Which byte of a panel's codes of 4 bits has step k of a row
INLINE u32 code_place(u32 row, u32 k) { return k / 4 * 16 + row % 4 * 4 + k % 2 * 2 + k % 4 / 2; }

typedef struct {
  v128 scale[2], minimum[2];
} Scales;

// float16 in the upper halves, as float32 times 2^-112, whatever the lower halves are
INLINE v128 upper_half(v128 v) {
  return wasm_v128_and(wasm_i32x4_shr(v, 3), I((i32)0x8fffe000));
}

INLINE Scales scales_of(const u8 *p, u32 form) {
  v128 zero = F(0.0f);
  if (form & WIDE) {
    Scales s = {{load(p), load(p + 16)}, {zero, zero}};
    if (form & MINIMUM) s.minimum[0] = load(p + 32), s.minimum[1] = load(p + 48);
    return s;
  }
  if (!(form & MINIMUM)) {
    v128 v = load(p);
    return (Scales){{upper_half(wasm_i16x8_shuffle(zero, v, 0, 8, 0, 9, 0, 10, 0, 11)),
                     upper_half(wasm_i16x8_shuffle(zero, v, 0, 12, 0, 13, 0, 14, 0, 15))},
                    {zero, zero}};
  }
  v128 a = load(p), b = load(p + 16);
  return (Scales){{upper_half(wasm_i32x4_shl(a, 16)), upper_half(wasm_i32x4_shl(b, 16))},
                  {upper_half(a), upper_half(b)}};
}

// `rows` is 1 or TILE; sums[row of x][half of a panel]
typedef v128 Sums[TILE][2];
void panel_of_4(const u8 *w, const u8 *x, u32 groups, u32 blocks, u32 form, u32 rows, Sums sums);
void panel_of_8(const u8 *w, const u8 *x, u32 groups, u32 blocks, u32 form, u32 rows, Sums sums);
