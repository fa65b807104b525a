// quant_pack.c  ggml's blocks into the panels of quant.h, while a model loads
// bindings      0 rows of blocks, 1 panels
// numbers       ggml's number of the type, form, rows, blocks in a row, bytes from panel to panel
// items         panels of 8 rows; rows that are missing in the last one are zero
// source        ggml-quants.c dequantize_row_*, ggml-common.h
#include "quant.h"

enum { Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q4_K = 12, Q5_K = 13, Q6_K = 14 };
#define LARGEST 256

// One block: codes in their order along the row, a scale and a minimum for each group, as the
// bits of a float16, or of a float32 where the form is wide
typedef struct {
  u8 codes[LARGEST];
  u32 scale[16], minimum[16];
} Block;

INLINE u16 half_at(const u8 *p) { return (u16)(p[0] | p[1] << 8); }
INLINE u32 word_at(const u8 *p) {
  u32 word;
  __builtin_memcpy(&word, p, 4);
  return word;
}
INLINE u32 bits_of(f32 x) { return __builtin_bit_cast(u32, x); }

// 2n codes: the low nibbles of n bytes, then the high ones
INLINE void nibbles(u8 *to, const u8 *from, u32 n) {
  for (u32 i = 0; i < n; i += 16) {
    v128 v = load(from + i), nibble = wasm_i8x16_const_splat(15);
    store(to + i, wasm_v128_and(v, nibble));
    store(to + n + i, wasm_v128_and(wasm_u16x8_shr(v, 4), nibble));
  }
}

// adds a fifth bit, bit `i` of `bits` to code i, and takes `centre` away
INLINE void fifth(u8 *codes, u32 bits, u8 centre) {
  for (u32 i = 0; i < 32; i++) codes[i] = (u8)((codes[i] | (bits >> i & 1) << 4) - centre);
}

// d * sc and -(dmin * m) of 8 groups, sc and m of 6 bits
INLINE void six_bits(Block *b, const u8 *p) {
  f32 d = half_to_float(half_at(p)), least_d = half_to_float(half_at(p + 2));
  const u8 *sc = p + 4, *m = p + 8, *low = p + 12;
  for (u32 i = 0; i < 4; i++) {
    b->scale[i] = bits_of(d * (f32)(sc[i] & 63));
    b->scale[i + 4] = bits_of(d * (f32)((low[i] & 15) | (sc[i] >> 2 & 48)));
    b->minimum[i] = bits_of(-(least_d * (f32)(m[i] & 63)));
    b->minimum[i + 4] = bits_of(-(least_d * (f32)((low[i] >> 4) | (m[i] >> 2 & 48))));
  }
}

INLINE void six_k(Block *b, const u8 *p) {
  for (u32 h = 0; h < 2; h++) {  // halves of 128: nibbles of 64 bytes, bit pairs of 32
    u8 *to = b->codes + 128 * h;
    nibbles(to, p + 64 * h, 64);
    for (u32 i = 0; i < 128; i++) {
      u32 high = p[128 + 32 * h + i % 32] >> i / 32 * 2 & 3;
      to[i] = (u8)((to[i] | high << 4) - 32);
    }
  }
  f32 d = half_to_float(half_at(p + 208));
  for (u32 i = 0; i < 16; i++) b->scale[i] = bits_of(d * (f32)((const i8 *)p)[192 + i]);
}

// Reads one block; the bytes that it took
static u32 read_block(u32 type, const u8 *p, Block *b) {
  b->scale[0] = half_at(p);
  switch (type) {
    case Q4_0:
      nibbles(b->codes, p + 2, 16);
      b->minimum[0] = float_to_half(-8.0f * half_to_float(half_at(p)));
      return 18;
    case Q4_1:
      nibbles(b->codes, p + 4, 16);
      b->minimum[0] = half_at(p + 2);
      return 20;
    case Q5_0:
      nibbles(b->codes, p + 6, 16);
      fifth(b->codes, word_at(p + 2), 16);
      return 22;
    case Q5_1:
      nibbles(b->codes, p + 8, 16);
      fifth(b->codes, word_at(p + 4), 0);
      b->minimum[0] = half_at(p + 2);
      return 24;
    case Q8_0:
      __builtin_memcpy(b->codes, p + 2, 32);
      return 34;
    case Q4_K:
      six_bits(b, p);
      for (u32 i = 0; i < 4; i++) nibbles(b->codes + 64 * i, p + 16 + 32 * i, 32);
      return 144;
    case Q5_K:
      six_bits(b, p);
      for (u32 i = 0; i < 4; i++) nibbles(b->codes + 64 * i, p + 48 + 32 * i, 32);
      for (u32 i = 0; i < 256; i++) b->codes[i] |= (u8)((p[16 + i % 32] >> i / 32 & 1) << 4);
      return 176;
    default:
      six_k(b, p);
      return 210;
  }
}

// The scales (and minima) of group g
INLINE u8 *put_scales(u8 *to, u32 form, const Block *rows, u32 g) {
  for (u32 r = 0; r < ROWS; r++) {
    u32 scale = rows[r].scale[g], minimum = rows[r].minimum[g];
    if (form & WIDE) {
      ((u32 *)to)[r] = scale;
      if (form & MINIMUM) ((u32 *)to)[ROWS + r] = minimum;
    } else if (form & MINIMUM) ((u32 *)to)[r] = scale | minimum << 16;
    else ((u16 *)to)[r] = (u16)scale;
  }
  return to + scale_bytes(form);
}

// bytes 0 1 2 3 as 0 2 1 3
INLINE u32 in_pairs(u32 w) { return (w & 0xff0000ff) | (w >> 8 & 0xff00) | (w & 0xff00) << 8; }

// The codes from `at`, 32 or 16 a row
INLINE u8 *put_codes(u8 *to, u32 form, const Block *rows, u32 at) {
  u32 code = code_bytes(form);
  for (u32 k = 0; k < code / 16; k++)
    for (u32 r = 0; r < ROWS; r++) {
      const u8 *from = rows[r].codes + at;
      if (form & BITS8) __builtin_memcpy(to + 16 * k + 2 * r, from + 2 * k, 2);
      else if (r < 4) ((u32 *)to)[4 * k + r] = in_pairs(word_at(from + 4 * k));
      else ((u32 *)to)[4 * k + r - 4] |= in_pairs(word_at(from + 4 * k)) << 4;
    }
  return to + code;
}

KERNEL(quant_pack) {
  u32 type = a[2], form = a[3], rows = a[4], n = a[5], stride = a[6];
  u32 along = type >= Q4_K ? 256 : 32, group = form & HALVES ? 16 : 32;
  Block blocks[ROWS];
  u32 taken = read_block(type, PTR(const u8, 0), blocks);
  for (u32 p = begin; p < end; p++) {
    u8 *to = PTR(u8, 1) + p * stride;
    __builtin_memset(blocks, 0, sizeof blocks);
    for (u32 b = 0; b < n; b++) {
      for (u32 r = 0; r < least(ROWS, rows - p * ROWS); r++)
        read_block(type, PTR(const u8, 0) + ((p * ROWS + r) * n + b) * taken, blocks + r);
      for (u32 g = 0; g < along / group; g++) {
        to = put_scales(to, form, blocks, g);
        to = put_codes(to, form, blocks, g * group);
      }
    }
  }
}
