// winograd  y = bias + 3 x 3 windows of x times filters, with 16 products where there are 36
// shapes    x [N, G C, H, W] with strides; filters turned by winograd_filter, [16][G M][C]; bias
//           [G M]; y [N, G M, OH, OW]
// bindings  0 x, 1 filters, 2 bias (anything if there is none), 3 y
// numbers   4 G, C, M, H, W, OH, OW; 11 padding above and left; 13 x: offset, strides of N, C, H, W;
//           18 has bias; tiles of an item (8 or 16), N
// items     N x G x pairs of rows x blocks of columns; more of them do nothing
// source    Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015: F(2 x 2, 3 x 3)
//
// A tile is 2 x 2 elements of y, made of 4 x 4 of x. Each place of a turned tile is a matrix product
// over the channels: [M, C] times [C, tiles].
#include "conv.h"

enum { PLACES = 16, TURNED = 40960, ROWS = 48, TILES = 16, WIDEST = 2 * TILES + 8 };

#define ADD(a, b) wasm_f32x4_add(a, b)
#define SUB(a, b) wasm_f32x4_sub(a, b)

// bindings  0 filters [G M, C, 3, 3], 1 to [16][G M][C]
// numbers   filters in all: G M C
// items     filters
KERNEL(winograd_filter) {
  for (u32 item = begin; item < end; item++) {
    const f32 *g = PTR(const f32, 0) + 9 * item;
    f32 half[4][3];
    for (u32 j = 0; j < 3; j++) {
      f32 sum = (g[j] + g[6 + j]) * 0.5f, middle = g[3 + j] * 0.5f;
      half[0][j] = g[j], half[1][j] = sum + middle, half[2][j] = sum - middle, half[3][j] = g[6 + j];
    }
    f32 *to = PTR(f32, 1) + item;
    for (u32 i = 0; i < 4; i++, to += 4 * a[2]) {
      f32 sum = (half[i][0] + half[i][2]) * 0.5f, middle = half[i][1] * 0.5f;
      to[0] = half[i][0], to[a[2]] = sum + middle, to[2 * a[2]] = sum - middle;
      to[3 * a[2]] = half[i][2];
    }
  }
}

// Tiles of one channel, four at a time, to row c of the panels of each place.
static void turn(const f32 *x, u32 tiles, u32 c, u32 depth, u32 size, f32 *to) {
  for (u32 t = 0; t < tiles; t += 4) {
    v128 w[4][4];
    for (u32 r = 0; r < 4; r++) {
      const f32 *at = x + r * WIDEST + 2 * t;
      v128 a = load(at), b = load(at + 4), c0 = load(at + 2), c1 = load(at + 6);
      v128 d0 = wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), d1 = wasm_i32x4_shuffle(a, b, 1, 3, 5, 7);
      v128 d2 = wasm_i32x4_shuffle(c0, c1, 0, 2, 4, 6), d3 = wasm_i32x4_shuffle(c0, c1, 1, 3, 5, 7);
      w[r][0] = SUB(d0, d2), w[r][1] = ADD(d1, d2), w[r][2] = SUB(d2, d1), w[r][3] = SUB(d1, d3);
    }
    f32 *y = to + t / PANEL * PANEL * depth + c * PANEL + t % PANEL;
    for (u32 j = 0; j < 4; j++) {
      store(y + j * size, SUB(w[0][j], w[2][j]));
      store(y + (4 + j) * size, ADD(w[1][j], w[2][j]));
      store(y + (8 + j) * size, SUB(w[2][j], w[1][j]));
      store(y + (12 + j) * size, SUB(w[1][j], w[3][j]));
    }
  }
}

// Four tiles of one output channel back to two rows of eight elements.
static void turn_back(const f32 *m, u32 size, f32 bias, v128 y[2][2]) {
  v128 s[2][4], b = wasm_f32x4_splat(bias);
  for (u32 j = 0; j < 4; j++) {
    v128 m1 = load(m + (4 + j) * size), m2 = load(m + (8 + j) * size);
    s[0][j] = ADD(load(m + j * size), ADD(m1, m2));
    s[1][j] = SUB(SUB(m1, m2), load(m + (12 + j) * size));
  }
  for (u32 r = 0; r < 2; r++) {
    v128 even = ADD(ADD(s[r][0], b), ADD(s[r][1], s[r][2]));
    v128 odd = SUB(SUB(ADD(s[r][1], b), s[r][2]), s[r][3]);
    y[r][0] = wasm_i32x4_shuffle(even, odd, 0, 4, 1, 5);
    y[r][1] = wasm_i32x4_shuffle(even, odd, 2, 6, 3, 7);
  }
}

static void put(const v128 *from, f32 *to, u32 columns) {
  f32 made[8];
  f32 *at = columns < 8 ? made : to;
  store(at, from[0]);
  store(at + 4, from[1]);
  for (u32 i = 0; at == made && i < columns; i++) to[i] = made[i];
}

KERNEL(winograd) {
  u32 groups = a[4], depth = a[5], m = a[6], n_rows = a[9], n_columns = a[10], each = a[19];
  i32 high = (i32)a[7], wide = (i32)a[8], by_row = (i32)a[16], by_column = (i32)a[17];
  u32 down = (n_rows + 1) / 2, across = (n_columns + 2 * each - 1) / (2 * each);
  u32 size = each * depth, filters = groups * m * depth;
  f32 turned[TURNED], made[PLACES * ROWS * TILES], rows[4 * WIDEST];
  end = least(end, a[20] * groups * down * across);
  for (u32 item = begin; item < end; item++) {
    u32 column = item % across * 2 * each, row = item / across % down * 2;
    u32 g = item / across / down % groups, n = item / across / down / groups;
    u32 columns = least(2 * each, n_columns - column), tiles = ((columns + 1) / 2 + 7) & ~7u;
    i32 top = (i32)row - (i32)a[11], left = (i32)column - (i32)a[12];
    const f32 *x = PTR(const f32, 0) + (i32)(a[13] + n * a[14] + g * depth * a[15]) + left * by_column;
    for (u32 c = 0; c < depth; c++, x += (i32)a[15]) {
      for (i32 r = 0; r < 4; r++) {
        i32 from = top + r, inside = from >= 0 && from < high;
        copy_row(x + from * by_row, by_column, -left, inside ? wide - left : 0, WIDEST,
                 rows + r * WIDEST);
      }
      turn(rows, tiles, c, depth, size, turned);
    }
    for (u32 o = 0; o < m; o += ROWS) {
      u32 some = least(ROWS, m - o);
      for (u32 i = 0; i < PLACES; i++)
        multiply(PTR(const f32, 1) + i * filters + (g * m + o) * depth, depth, turned + i * size,
                 depth, depth, (Start){&NOTHING, 0, 0}, made + i * ROWS * TILES, TILES, some, tiles);
      for (u32 r = 0; r < some; r++) {
        u32 channel = g * m + o + r;
        f32 *y = PTR(f32, 3) + ((n * groups * m + channel) * n_rows + row) * n_columns + column;
        for (u32 c = 0; c < columns; c += 8) {
          v128 out[2][2];
          turn_back(made + r * TILES + c / 2, ROWS * TILES, a[18] ? PTR(const f32, 2)[channel] : 0,
                    out);
          put(out[0], y + c, least(8, columns - c));
          if (row + 1 < n_rows) put(out[1], y + n_columns + c, least(8, columns - c));
        }
      }
    }
  }
}
