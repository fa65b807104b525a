// gemm8.c   y = act(x Wᵀ + bias), W in 8 bits with a scale for each of its rows, x quantised on the way
// shapes    x [M, K] float32, W [N, K] int8, y [M, N] float32; any sizes, K not 0
// items     quantise8: tiles of 4 rows of x; gemm8: panels of 8 columns of y
// method    128 columns of a row of x become codes of 7 bits over their own range: x ≈ low + step *
//           code. Seven, not eight: then a product of two bytes and its neighbour's fit 16 bits
//           together, and one instruction makes 16 products. What `low` adds is low * (the sum of
//           these columns of W's row). With one range for more columns, a few large ones cost the
//           others their precision: with one for 256 MiniLM is a third farther off.
//           Where four codes of W that meet in one lane are small together (`PAIRED`), products of
//           eight columns are added in 16 bits: five instructions for 32 products instead of six.
//           Codes of x are not negative: so only those of one sign count together.
//           Sums are of integers, the rest rounds alike everywhere: all modules give the same y,
//           but for act.
#include "math.h"

#define ROWS 4     // of x in a tile
#define COLUMNS 8  // of y in a tile: rows of W in a panel
#define BLOCK 64   // rows of x that meet all panels while they are in the second cache
#define GROUP 128  // columns of x with one range
#define LEVELS 127.0f
#define PAIRED 258   // 127 * 258 fits 16 bits: the most that four codes of one sign may be together
#define PADDED 16     // K is filled up to a multiple of it
#define SUMS (COLUMNS + 4)  // of a panel's group: its rows' sums, whether all are PAIRED, nothing

enum { PLAIN = 0, RELU = 1, GELU = 2 };

INLINE u32 fours_of(u32 k) { return (k + PADDED - 1) / PADDED * (PADDED / 4); }

// Up to four floats from p; zeros for what is past `n`.
INLINE v128 load_some(const f32 *p, u32 n) {
  if (n >= 4) return load(p);
  f32 some[4] = {0, 0, 0, 0};
  for (u32 i = 0; i < n; i++) some[i] = p[i];
  return load(some);
}

INLINE void range_of(const f32 *x, u32 k, f32 *low, f32 *high) {
  v128 least4 = wasm_f32x4_splat(x[0]), most4 = least4, fine = wasm_f32x4_eq(least4, least4);
  for (u32 i = 0; i < k; i += 4) {
    v128 v = i + 4 <= k ? load(x + i) : wasm_f32x4_splat(x[i]);
    least4 = wasm_f32x4_pmin(least4, v);
    most4 = wasm_f32x4_pmax(most4, v);
    fine = wasm_v128_and(fine, wasm_f32x4_eq(v, v));
    if (i + 4 > k) i -= 3;  // the last ones, one after the other
  }
  least4 = wasm_f32x4_pmin(least4, wasm_i32x4_shuffle(least4, least4, 2, 3, 0, 1));
  most4 = wasm_f32x4_pmax(most4, wasm_i32x4_shuffle(most4, most4, 2, 3, 0, 1));
  least4 = wasm_f32x4_pmin(least4, wasm_i32x4_shuffle(least4, least4, 1, 0, 3, 2));
  most4 = wasm_f32x4_pmax(most4, wasm_i32x4_shuffle(most4, most4, 1, 0, 3, 2));
  *low = wasm_i32x4_all_true(fine) ? wasm_f32x4_extract_lane(least4, 0) : __builtin_nanf("");
  *high = wasm_f32x4_extract_lane(most4, 0);
}

// The codes of four floats, in 32 bits each.
INLINE v128 codes_of(v128 x, v128 low, v128 per_step) {
  v128 steps = wasm_f32x4_mul(wasm_f32x4_sub(x, low), per_step);
  return wasm_v128_and(wasm_f32x4_add(steps, F(MAGIC)), I(127));
}

// Codes of four columns of a tile, of which `n` are there.
INLINE v128 tile_codes(const f32 *x[ROWS], u32 at, u32 n, const v128 *low, const v128 *per_step) {
  v128 c[ROWS];
  for (u32 r = 0; r < ROWS; r++) c[r] = codes_of(load_some(x[r] + at, n), low[r], per_step[r]);
  return wasm_u8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(c[0], c[1]),
                                 wasm_i16x8_narrow_i32x4(c[2], c[3]));
}

// K' is K filled up to a multiple of PADDED, in W with zeros.

// bindings  0 x, 1 codes [M / 4][K' / 4][4 rows][4], 2 ranges [M / 4][K / 128][step, low][4]
// numbers   3 M, 4 K
KERNEL(quantise8) {
  u32 rows = a[3], k = a[4], fours = fours_of(k), groups = (k + GROUP - 1) / GROUP;
  for (u32 tile = begin; tile < end; tile++) {
    u8 *codes = PTR(u8, 1) + tile * fours * 16;
    for (u32 g = 0; g < groups; g++) {
      u32 n = least(GROUP, k - g * GROUP), whole = n & ~3u;
      const f32 *x[ROWS];
      v128 low[ROWS], per_step[ROWS];
      for (u32 r = 0; r < ROWS; r++) {
        u32 row = least(tile * ROWS + r, rows - 1);  // the last one again where there is none
        f32 from, to;
        x[r] = PTR(const f32, 0) + row * k + g * GROUP;
        range_of(x[r], n, &from, &to);
        f32 size = to - from, *range = PTR(f32, 2) + 2 * ROWS * (tile * groups + g) + r;
        low[r] = wasm_f32x4_splat(from);
        per_step[r] = wasm_f32x4_splat(size > 0 ? LEVELS / size : 0);
        range[0] = size / LEVELS;
        range[ROWS] = from;
      }
      for (u32 i = 0; i < whole; i += 4, codes += 16)
        store(codes, tile_codes(x, i, 4, low, per_step));
      if (whole < n) store(codes, tile_codes(x, whole, n - whole, low, per_step));
    }
  }
}

typedef struct {
  v128 half[2];  // four columns of the panel's first four rows, and of its others
} Four;
typedef struct {
  u32 row[ROWS];  // four columns of each of the tile's rows
} Codes;

// sum += four products of each of four rows of W: w has 4 x 4 bytes, x the same four 4 times
INLINE v128 dot(v128 w, v128 x, v128 sum, v128 ones) {
#ifdef __wasm_relaxed_simd__
  v128 pairs = wasm_i16x8_relaxed_dot_i8x16_i7x16(w, x);
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(pairs, ones));
#else
  v128 wide = wasm_i16x8_extend_low_i8x16(x);
  v128 first = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(w), wide);
  v128 last = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(w), wide);
  sum = wasm_i32x4_add(sum, wasm_i32x4_shuffle(first, last, 0, 2, 4, 6));
  return wasm_i32x4_add(sum, wasm_i32x4_shuffle(first, last, 1, 3, 5, 7));
#endif
}

// sum += dot(w, x) + dot(v, z)
INLINE v128 dot2(v128 w, v128 x, v128 v, v128 z, v128 sum, v128 ones, int paired) {
#ifdef __wasm_relaxed_simd__
  if (paired) {
    v128 pairs = wasm_i16x8_add(wasm_i16x8_relaxed_dot_i8x16_i7x16(w, x),
                                wasm_i16x8_relaxed_dot_i8x16_i7x16(v, z));
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(pairs, ones));
  }
#endif
  return dot(v, z, dot(w, x, sum, ones), ones);
}

// Eight columns. The empty asm keeps a row's products together: clang would put those of one half
// of the panel together, and then sums and codes do not fit the registers.
INLINE void eight(const Four *w, const Codes *x, v128 sums[ROWS][2], v128 ones, int paired) {
  v128 w0 = w[0].half[0], w1 = w[0].half[1], v0 = w[1].half[0], v1 = w[1].half[1];
#pragma unroll
  for (u32 r = 0; r < ROWS; r++) {
    v128 y = wasm_v128_load32_splat(&x[0].row[r]), z = wasm_v128_load32_splat(&x[1].row[r]);
    sums[r][0] = dot2(w0, y, v0, z, sums[r][0], ones, paired);
    sums[r][1] = dot2(w1, y, v1, z, sums[r][1], ones, paired);
    __asm__ volatile("" : "+r"(sums[r][0]), "+r"(sums[r][1]) : : "memory");
  }
}

INLINE v128 lane(v128 v, u32 i) {
  switch (i) {
    case 0: return wasm_i32x4_shuffle(v, v, 0, 0, 0, 0);
    case 1: return wasm_i32x4_shuffle(v, v, 1, 1, 1, 1);
    case 2: return wasm_i32x4_shuffle(v, v, 2, 2, 2, 2);
    default: return wasm_i32x4_shuffle(v, v, 3, 3, 3, 3);
  }
}

// y += step * products + low * W's sums, over one group of columns, `fours` of four. The pointers are
// hidden where they are used: then their offsets are part of the loads.
INLINE void multiply(const Codes *x, const Four *w, u32 fours, const f32 *ranges,
                     const f32 *w_sums, v128 *y, int paired) {
  v128 sums[ROWS][2];
  i32 one = 1;
  __asm__("" : "+r"(one));
  v128 ones = wasm_i16x8_splat((i16)one);
#pragma unroll
  for (u32 r = 0; r < ROWS; r++) sums[r][0] = sums[r][1] = I(0);
  for (u32 i = fours / 4; i; i--, w += 4, x += 4) {
    const Four *panel = w;
    const Codes *codes = x;
    __asm__("" : "+r"(panel), "+r"(codes));
    eight(panel, codes, sums, ones, paired);
    eight(panel + 2, codes + 2, sums, ones, paired);
  }
  v128 steps = load(ranges), lows = load(ranges + ROWS);
#pragma unroll
  for (u32 r = 0; r < ROWS; r++) {
    v128 step = lane(steps, r), low = lane(lows, r);
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
      v128 products = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sums[r][half]), step);
      v128 rest = wasm_f32x4_mul(load(w_sums + 4 * half), low);
      y[2 * r + half] = wasm_f32x4_add(y[2 * r + half], wasm_f32x4_add(products, rest));
    }
  }
}

// Functions of their own: y, and the other one's sums, would take registers from a loop.
__attribute__((noinline)) static void multiply_paired(const Codes *x, const Four *w, u32 fours,
                                                      const f32 *ranges, const f32 *w_sums,
                                                      v128 *y) {
  multiply(x, w, fours, ranges, w_sums, y, 1);
}

__attribute__((noinline)) static void multiply_any(const Codes *x, const Four *w, u32 fours,
                                                   const f32 *ranges, const f32 *w_sums, v128 *y) {
  multiply(x, w, fours, ranges, w_sums, y, 0);
}

// x · (1/2 + c R(c²)) with c = x within ±5.3, where erf(c / √2) / 2c is fitted by a quotient R: within
// 3e-6 of gelu, or within 1e-6 of |x| where that is more. What comes next has 7 bits.
INLINE v128 rough_gelu4(v128 x) {
  v128 c = wasm_f32x4_pmax(wasm_f32x4_pmin(x, F(5.3f)), F(-5.3f)), t = wasm_f32x4_mul(c, c);
  v128 over = POLY(t, -5.578455e-7f, -1.3201799e-5f, 3.6669388e-3f, 2.1781492e-2f, 0.39895774f);
  v128 under = POLY(t, -1.7240967e-5f, 9.7369106e-4f, 2.0956156e-2f, 0.22138797f, 1.0f);
  return wasm_f32x4_mul(x, madd(c, wasm_f32x4_div(over, under), F(0.5f)));
}

INLINE v128 finished(v128 y, v128 scale, v128 bias, u32 act) {
  y = wasm_f32x4_add(wasm_f32x4_mul(y, scale), bias);
  if (act == GELU) return rough_gelu4(y);
  return act == RELU ? wasm_f32x4_max(y, F(0.0f)) : y;
}

// Writes rows of a tile whose columns are all in y.
INLINE void write_whole(const u32 *a, u32 row, u32 column, const v128 *y) {
  u32 n = a[8], rows = least(ROWS, a[7] - row), act = a[11];
  const f32 *scale = PTR(const f32, 4) + column, *bias = PTR(const f32, 5) + column;
  f32 *to = PTR(f32, 6) + row * n + column;
  v128 scale0 = load(scale), scale1 = load(scale + 4);
  v128 bias0 = a[10] ? load(bias) : F(0.0f), bias1 = a[10] ? load(bias + 4) : F(0.0f);
  for (u32 r = 0; r < rows; r++, to += n) {
    store(to, finished(y[2 * r], scale0, bias0, act));
    store(to + 4, finished(y[2 * r + 1], scale1, bias1, act));
  }
}

// Writes those columns of a tile that are in y.
INLINE void write_some(const u32 *a, u32 row, u32 column, const v128 *y) {
  u32 n = a[8], rows = least(ROWS, a[7] - row);
  for (u32 first = column; first < n; first += 4, y++) {
    v128 scale = load_some(PTR(const f32, 4) + first, n - first);
    v128 bias = a[10] ? load_some(PTR(const f32, 5) + first, n - first) : F(0.0f);
    for (u32 r = 0; r < rows; r++) {
      f32 out[4], *to = PTR(f32, 6) + (row + r) * n + first;
      v128 made = finished(y[2 * r], scale, bias, a[11]);
      if (first + 4 <= n) {
        store(to, made);
        continue;
      }
      store(out, made);
      for (u32 i = 0; first + i < n; i++) to[i] = out[i];
    }
  }
}

// bindings  0 codes, 1 ranges, 2 panels [N / 8][K' / 4][8][4], 3 sums of W's rows
//           [N / 8][K / 128][SUMS], 4 scale [N], 5 bias [N], 6 y
// numbers   7 M, 8 N, 9 K' / 4, 10 whether there is a bias, 11 act
KERNEL(gemm8) {
  u32 rows = a[7], fours = a[9], groups = (fours + GROUP / 4 - 1) / (GROUP / 4);
  for (u32 row = 0; row < rows; row += BLOCK)
    for (u32 panel = begin; panel < end; panel++)
      for (u32 r = row; r < least(row + BLOCK, rows); r += ROWS) {
        v128 y[2 * ROWS];
        for (u32 i = 0; i < 2 * ROWS; i++) y[i] = F(0.0f);
        for (u32 g = 0; g < groups; g++) {
          u32 first = g * (GROUP / 4), n = least(GROUP / 4, fours - first);
          const Codes *x = PTR(const Codes, 0) + r / ROWS * fours + first;
          const Four *w = PTR(const Four, 2) + panel * fours + first;
          const f32 *ranges = PTR(const f32, 1) + 2 * (r * groups + g * ROWS);
          const f32 *sums = PTR(const f32, 3) + (panel * groups + g) * SUMS;
          if (sums[COLUMNS] != 0)
            multiply_paired(x, w, n, ranges, sums, y);
          else
            multiply_any(x, w, n, ranges, sums, y);
        }
        if (panel < a[8] / COLUMNS) write_whole(a, r, panel * COLUMNS, y);
        else write_some(a, r, panel * COLUMNS, y);
      }
}

// Whether a panel's group is PAIRED: what is positive in columns 0, 1, 4 and 5 of each eight, and in
// the others, and what is negative.
static int is_paired(const i8 *panel, u32 fours) {
  for (u32 i = 0; i + 2 <= fours; i += 2)
    for (u32 at = 0; at < 32; at += 2) {
      const i8 *w = panel + 32 * i + at;
      i32 positive = 0, negative = 0;
      for (u32 j = 0; j < 4; j++) {
        i32 code = w[j % 2 + j / 2 * 32];
        positive += code > 0 ? code : 0;
        negative += code < 0 ? code : 0;
      }
      if (positive > PAIRED || negative < -PAIRED) return 0;
    }
  return 1;
}

// bindings  0 whole rows of W [rows, K], 1 panels, 2 sums; the last panel is filled up with zeros
// numbers   3 rows, 4 K
// items     panels
KERNEL(pack8) {
  u32 rows = a[3], k = a[4], fours = fours_of(k), groups = (k + GROUP - 1) / GROUP;
  for (u32 panel = begin; panel < end; panel++) {
    i8 *codes = PTR(i8, 1) + panel * fours * 32;
    f32 *sums = PTR(f32, 2) + panel * groups * SUMS;
    for (u32 i = 0; i < groups * SUMS; i++) sums[i] = 0;
    for (u32 c = 0; c < COLUMNS; c++) {
      u32 row = panel * COLUMNS + c;
      const i8 *w = PTR(const i8, 0) + row * k;
      for (u32 i = 0; i < fours * 4; i++) {
        i8 code = row < rows && i < k ? w[i] : 0;
        codes[i / 4 * 32 + c * 4 + i % 4] = code;
        sums[i / GROUP * SUMS + c] += (f32)code;  // whole numbers: exact
      }
    }
    for (u32 g = 0, first = 0; g < groups; g++, first += GROUP / 4)
      sums[g * SUMS + COLUMNS] =
          (f32)is_paired(codes + first * 32, least(GROUP / 4, fours - first));
  }
}
