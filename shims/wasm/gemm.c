// gemm      y = start + a b, batch by batch; a is read by rows, b as panels (gemm.h)
// shapes    a [.., M, K] with strides, K next to each other; b [matrices][N / 8][K][8]; y [.., M, N]
// bindings  0 a, 1 b, 2 what sums begin with (anything if its strides are 0 and `has start` is 0), 3 y
// numbers   M, N, K; rows and columns of an item; a: offset, stride of a row; start: has, stride of a
//           batch, of a row, of a column (0 or 1); batches n0 n1 n2 n3; their strides in a (elements);
//           in b (matrices)
// items     batches x blocks of rows x blocks of columns; more of them do nothing
#include "gemm.h"

const f32 NOTHING = 0;

// clang reorders sums of an unrolled loop into chains, which wait for each other: it is not unrolled
#define TILE(M, P)                                                                                \
  static __attribute__((noinline)) void tile_##M##x##P(                                           \
      const f32 *a, u32 stride_a, const f32 *b, u32 panel, u32 k, const Start *start, f32 *to,    \
      u32 stride) {                                                                               \
    v128 sum[M][2 * P];                                                                           \
    for (u32 r = 0; r < M; r++)                                                                   \
      for (u32 j = 0; j < 2 * P; j++) sum[r][j] = begin_with(*start, r, 4 * j);                   \
    const f32 *end = a + k;                                                                       \
    _Pragma("clang loop unroll(disable)") for (; a < end; a++, b += PANEL) {                      \
      v128 column[2 * P];                                                                         \
      for (u32 j = 0; j < 2 * P; j++) column[j] = load(b + j / 2 * panel + j % 2 * 4);            \
      for (u32 r = 0; r < M; r++) {                                                               \
        v128 x = splat(a + r * stride_a);                                                         \
        for (u32 j = 0; j < 2 * P; j++) sum[r][j] = madd(x, column[j], sum[r][j]);                \
      }                                                                                           \
    }                                                                                             \
    for (u32 r = 0; r < M; r++)                                                                   \
      for (u32 j = 0; j < 2 * P; j++) store(to + r * stride + 4 * j, sum[r][j]);                  \
  }
TILE(4, 1) TILE(3, 1) TILE(2, 1) TILE(2, 2) TILE(1, 1) TILE(1, 4)

typedef void Tile(const f32 *, u32, const f32 *, u32, u32, const Start *, f32 *, u32);

// The last panel, where columns beyond the matrix may not be read or written.
static void edge(Tile *tile, const f32 *a, u32 stride_a, const f32 *b, u32 panel, u32 k,
                 const Start *start, f32 *to, u32 stride, u32 rows, u32 columns) {
  f32 first[4 * PANEL], made[4 * PANEL];
  for (u32 r = 0; r < rows; r++)
    for (u32 c = 0; c < PANEL; c++)
      first[PANEL * r + c] = c < columns ? start->at[r * start->by_row + c * start->by_column] : 0;
  tile(a, stride_a, b, panel, k, &(Start){first, PANEL, 1}, made, PANEL);
  for (u32 r = 0; r < rows; r++)
    for (u32 c = 0; c < columns; c++) to[r * stride + c] = made[PANEL * r + c];
}

void multiply(const f32 *a, u32 stride_a, const f32 *b, u32 depth, u32 k, Start start, f32 *to,
              u32 stride, u32 rows, u32 columns) {
  static Tile *const tiles[] = {tile_1x1, tile_2x1, tile_3x1, tile_4x1};
  u32 panel = PANEL * depth;
  for (u32 c = 0; c < columns; c += PANEL) {
    const f32 *at = b + c * depth, *x = a;
    for (u32 r = 0; r + 4 <= rows; r += 4, x += 4 * stride_a) {
      Start s = moved(start, r, c);
      f32 *y = to + r * stride + c;
      if (c + PANEL <= columns) tile_4x1(x, stride_a, at, panel, k, &s, y, stride);
      else edge(tile_4x1, x, stride_a, at, panel, k, &s, y, stride, 4, columns - c);
    }
  }
  u32 n = rows & 3;
  if (!n) return;
  to += (rows - n) * stride;
  a += (rows - n) * stride_a;
  for (u32 c = 0, done; c < columns; c += done) {
    Start s = moved(start, rows - n, c);
    Tile *tile = tiles[n - 1];
    const f32 *at = b + c * depth;
    done = PANEL;
    if (n == 1 && c + 4 * PANEL <= columns) tile = tile_1x4, done = 4 * PANEL;
    if (n == 2 && c + 2 * PANEL <= columns) tile = tile_2x2, done = 2 * PANEL;
    if (c + done <= columns) tile(a, stride_a, at, panel, k, &s, to + c, stride);
    else edge(tile, a, stride_a, at, panel, k, &s, to + c, stride, n, columns - c);
  }
}

KERNEL(gemm) {
  u32 m = a[4], n = a[5], k = a[6], rows = a[7], columns = a[8], stride_a = a[10];
  u32 across = (n + columns - 1) / columns, down = (m + rows - 1) / rows;
  u32 n1 = a[16], n2 = a[17], n3 = a[18];
  u32 matrix = (n + PANEL - 1) / PANEL * PANEL * k;
  end = least(end, a[15] * n1 * n2 * n3 * across * down);
  for (u32 item = begin; item < end; item++) {
    u32 column = item % across * columns, row = item / across % down * rows;
    u32 z = item / across / down;
    u32 z3 = z % n3, z2 = z / n3 % n2, z1 = z / n3 / n2 % n1, z0 = z / n3 / n2 / n1;
    const f32 *x = PTR(const f32, 0) + (i32)a[9] + (i32)(row * stride_a);
    x += (i32)(z0 * a[19] + z1 * a[20] + z2 * a[21] + z3 * a[22]);
    const f32 *b = PTR(const f32, 1);
    b += (z0 * a[23] + z1 * a[24] + z2 * a[25] + z3 * a[26]) * matrix + column * k;
    Start start = {&NOTHING, 0, 0};
    if (a[11]) start = moved((Start){PTR(const f32, 2) + z * a[12], a[13], a[14]}, row, column);
    f32 *y = PTR(f32, 3) + z * m * n + row * n + column;
    multiply(x, stride_a, b, k, k, start, y, n, least(rows, m - row), least(columns, n - column));
  }
}
