// gemm.h    the product of rows and panels, which matrix products, convolutions and attention share
//
// A panel is 8 columns of a matrix [K, N], one after the other along K: [N / 8][K][8], the last one
// filled with zeros. A tile is M rows times P panels: enough sums in flight to keep the multipliers
// busy, few enough to stay in registers. Sums run along K in order, whatever the tile.
#pragma once
#include "kernel.h"

#define PANEL 8

// What sums begin with: `at[row * by_row + column * by_column]`, by_column 0 or 1.
typedef struct {
  const f32 *at;
  u32 by_row, by_column;
} Start;

extern const f32 NOTHING;  // 0

INLINE v128 begin_with(Start s, u32 row, u32 column) {
  const f32 *at = s.at + row * s.by_row;
  return s.by_column ? load(at + column) : splat(at);
}

INLINE Start moved(Start s, u32 row, u32 column) {
  s.at += row * s.by_row + column * s.by_column;
  return s;
}

// to[r * stride + c] = start + sum of a[r * stride_a + i] * b[i * 8 + c], for rows x columns and the
// first k of the `depth` rows of b's panels
void multiply(const f32 *a, u32 stride_a, const f32 *b, u32 depth, u32 k, Start start, f32 *to,
              u32 stride, u32 rows, u32 columns);

// Columns [k][n] of x (`from[i * by_k + c * by_n]`) to panels, 8 n / 8 rounded up.
void pack_panel(const f32 *from, i32 by_k, i32 by_n, u32 k, u32 columns, f32 *to);
