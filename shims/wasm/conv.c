// conv      y = bias + sum of windows of x times filters: conv2d; a phase of convTranspose2d
// shapes    x [N, G C, H, W] and y [N, G M, OH, OW] with strides; filter [G M, C, KH, KW]; bias [G M]
// bindings  0 x, 1 filter, 2 bias (anything if there is none), 3 y
// numbers   4 G, C, M, H, W, OH, OW; 11 KH, KW; strides; dilations; padding above and left (any sign);
//           19 x: offset, strides of N, C, H, W; 24 y: the same; 29 has bias; 30 a block: rows, columns,
//           channels, window rows (not all of them: one channel); 34 N
// items     N x G x blocks of rows x blocks of columns; more of them do nothing
//
// The part of x that a block of y needs is copied, with zeros around the image and the columns of a
// stride side by side: patch[channel][row][column % stride][column / stride]. There the neighbours in
// a row of y are neighbours, at `places[k]` for each element k of a filter, and sums are tiles of a
// matrix product.
#include "conv.h"

enum { PATCH = 40960, PLACES = 8192, WIDEST = 4 * PANEL };

#define TILE(M, P)                                                                                \
  static __attribute__((noinline)) void windows_##M##x##P(                                        \
      const f32 *a, u32 stride_a, const f32 *b, const u32 *places, u32 k, const Start *start,     \
      f32 *to, u32 stride) {                                                                      \
    v128 sum[M][2 * P];                                                                           \
    for (u32 r = 0; r < M; r++)                                                                   \
      for (u32 j = 0; j < 2 * P; j++) sum[r][j] = begin_with(*start, r, 4 * j);                   \
    const f32 *end = a + k;                                                                       \
    _Pragma("clang loop unroll(disable)") for (; a < end; a++, places++) {                        \
      v128 column[2 * P];                                                                         \
      const f32 *at = b + *places;                                                                \
      for (u32 j = 0; j < 2 * P; j++) column[j] = load(at + 4 * j);                               \
      for (u32 r = 0; r < M; r++) {                                                               \
        v128 x = splat(a + r * stride_a);                                                         \
        for (u32 j = 0; j < 2 * P; j++) sum[r][j] = madd(x, column[j], sum[r][j]);                \
      }                                                                                           \
    }                                                                                             \
    for (u32 r = 0; r < M; r++)                                                                   \
      for (u32 j = 0; j < 2 * P; j++) store(to + r * stride + 4 * j, sum[r][j]);                  \
  }
TILE(4, 1) TILE(3, 1) TILE(2, 1) TILE(2, 2) TILE(1, 1) TILE(1, 4)

typedef void Tile(const f32 *, u32, const f32 *, const u32 *, u32, const Start *, f32 *, u32);

// What is the same for all items of a step, and for all tiles of an item's part.
typedef struct {
  u32 channels, rows, heights, widths, out_heights, out_widths, window[2];
  i32 stride[2], dilation[2], padding[2];
  i32 x[5], y[5];
} Shape;

typedef struct {
  const f32 *filter, *patch;
  const u32 *places;
  u32 depth, k;  // elements of a filter, and how many of them are here
  f32 *to;
  i32 by_channel, by_column;
  Start start;
} Part;

// One row of a block: `columns` neighbours in y of all output channels.
static void row_of(const Part *p, u32 m, u32 columns) {
  static Tile *const tiles[] = {windows_1x1, windows_2x1, windows_3x1, windows_4x1};
  for (u32 c = 0, wide; c < columns; c += wide)
    for (u32 r = 0, n; r < m; r += n) {
      n = least(m - r, 4);
      Tile *tile = tiles[n - 1];
      wide = PANEL;
      if (m == 1 && columns - c >= 4 * PANEL) tile = windows_1x4, wide = 4 * PANEL;
      if (m == 2 && columns - c >= 2 * PANEL) tile = windows_2x2, wide = 2 * PANEL;
      const f32 *a = p->filter + r * p->depth;
      f32 *to = p->to + (i32)r * p->by_channel + (i32)c * p->by_column;
      Start start = moved(p->start, r, c);
      u32 whole = least(wide, columns - c);
      if (whole == wide && p->by_column == 1) {
        tile(a, p->depth, p->patch + c, p->places, p->k, &start, to, (u32)p->by_channel);
        continue;
      }
      f32 first[4 * PANEL], made[4 * PANEL];
      for (u32 i = 0; i < n; i++)
        for (u32 j = 0; j < wide; j++)
          first[wide * i + j] = j < whole ? start.at[i * start.by_row + j * start.by_column] : 0;
      tile(a, p->depth, p->patch + c, p->places, p->k, &(Start){first, wide, 1}, made, wide);
      for (u32 i = 0; i < n; i++)
        for (u32 j = 0; j < whole; j++)
          to[(i32)i * p->by_channel + (i32)j * p->by_column] = made[wide * i + j];
    }
}

void copy_row(const f32 *from, i32 by, i32 low, i32 high, i32 n, f32 *to) {
  low = low < 0 ? 0 : low > n ? n : low;
  high = high > n ? n : high < low ? low : high;
  i32 i = 0;
  for (; i < low; i++) to[i] = 0;
  if (by == 1) {
    for (; i + 4 <= high; i += 4) store(to + i, load(from + i));
  } else if (by == 2) {
    for (; i + 5 <= high; i += 4)
      store(to + i, wasm_i32x4_shuffle(load(from + 2 * i), load(from + 2 * i + 4), 0, 2, 4, 6));
  }
  for (; i < high; i++) to[i] = from[i * by];
  for (; i < n; i++) to[i] = 0;
}

INLINE i32 up(i32 n, i32 by) { return n > 0 ? (n + by - 1) / by : 0; }

// Rows and columns of x from (top, left) on, to a patch of `wide` columns for each of a stride.
static void copy_patch(const Shape *s, const f32 *x, i32 top, i32 left, u32 channels, u32 rows,
                       u32 wide, f32 *to) {
  i32 by = s->stride[1], step = by * s->x[4];
  for (u32 c = 0; c < channels; c++, x += s->x[2])
    for (u32 r = 0; r < rows; r++) {
      i32 row = top + (i32)r;
      i32 inside = row >= 0 && row < (i32)s->heights;
      for (i32 phase = 0; phase < by; phase++, to += wide) {
        i32 first = left + phase;  // this column, and every `by`-th after it
        i32 high = inside ? up((i32)s->widths - first, by) : 0;
        copy_row(x + row * s->x[3] + first * s->x[4], step, up(-first, by), high, (i32)wide, to);
      }
    }
}

KERNEL(conv) {
  u32 groups = a[4];
  Shape s = {a[5], a[6], a[7], a[8], a[9], a[10], {a[11], a[12]}, {(i32)a[13], (i32)a[14]},
             {(i32)a[15], (i32)a[16]}, {(i32)a[17], (i32)a[18]}, {0}, {0}};
  for (u32 i = 0; i < 5; i++) s.x[i] = (i32)a[19 + i], s.y[i] = (i32)a[24 + i];
  u32 high = a[30], wide = a[31], part = a[32], window_rows = a[33];
  u32 taps = s.window[0] * s.window[1];
  u32 across = (s.out_widths + wide - 1) / wide, down = (s.out_heights + high - 1) / high;
  u32 columns = wide + ((s.window[1] - 1) * (u32)s.dilation[1]) / (u32)s.stride[1];
  u32 line = columns * (u32)s.stride[1];
  u32 lines = (high - 1) * (u32)s.stride[0] + (window_rows - 1) * (u32)s.dilation[0] + 1;
  u32 places[PLACES];
  f32 patch[PATCH + WIDEST];
  u32 k = 0;
  for (u32 c = 0; c < part; c++)
    for (u32 i = 0; i < window_rows; i++)
      for (u32 j = 0; j < s.window[1]; j++) {
        u32 column = j * (u32)s.dilation[1], by = (u32)s.stride[1];
        places[k++] = (c * lines + i * (u32)s.dilation[0]) * line + column % by * columns + column / by;
      }
  end = least(end, a[34] * groups * down * across);
  for (u32 item = begin; item < end; item++) {
    u32 column = item % across * wide, row = item / across % down * high;
    u32 g = item / across / down % groups, n = item / across / down / groups;
    const f32 *x = PTR(const f32, 0) + s.x[0] + (i32)n * s.x[1] + (i32)(g * s.channels) * s.x[2];
    f32 *y = PTR(f32, 3) + s.y[0] + (i32)n * s.y[1] + (i32)(g * s.rows) * s.y[2];
    y += (i32)row * s.y[3] + (i32)column * s.y[4];
    i32 top = (i32)row * s.stride[0] - s.padding[0], left = (i32)column * s.stride[1] - s.padding[1];
    u32 out_rows = least(high, s.out_heights - row), out_columns = least(wide, s.out_widths - column);
    Start bias = {&NOTHING, 0, 0};
    if (a[29]) bias = (Start){PTR(const f32, 2) + g * s.rows, 1, 0};
    for (u32 c = 0; c == 0 || c < s.channels; c += part)
      for (u32 i = 0; i == 0 || i < s.window[0]; i += window_rows) {
        u32 channels = least(part, s.channels - c), rows = least(window_rows, s.window[0] - i);
        copy_patch(&s, x + (i32)c * s.x[2], top + (i32)i * s.dilation[0], left, channels, lines,
                   columns, patch);
        Part p = {PTR(const f32, 1) + (g * s.rows * s.channels + c) * taps + i * s.window[1], patch,
                  places, s.channels * taps, channels * rows * s.window[1], y, s.y[2], s.y[4], bias};
        for (u32 r = 0; r < out_rows; r++) {
          if (c || i) p.start = (Start){p.to, (u32)s.y[2], (u32)s.y[4]};
          row_of(&p, s.rows, out_columns);
          p.to += s.y[3];
          p.patch += (u32)s.stride[0] * line;
        }
      }
  }
}
