// gemm_pack  a matrix, or its transpose, to panels of 8 columns (gemm.h); float16 becomes float32
// shapes     x [n0, n1, n2, n3, K, N] with strides -> y [matrices][N / 8][K][8], or some of K
// bindings   0 x, 1 y
// numbers    kind of x: 0 float32, 1 float16, 2 bfloat16; N; K of y; first and number of those of x;
//            offset; strides of K and N; n0 n1 n2 n3, their strides
// items      panels of all matrices; more of them do nothing
#include "gemm.h"
#include "math.h"

enum { HALF = 1, BRAIN = 2 };

static f32 element(const void *x, u32 kind, i32 i) {
  if (kind == HALF) return half_to_float(((const u16 *)x)[i]);
  if (kind == BRAIN) return number((u32)((const u16 *)x)[i] << 16);
  return ((const f32 *)x)[i];
}

static void by_element(const void *x, u32 kind, i32 from, i32 by_k, i32 by_n, u32 k, u32 columns,
                       f32 *to) {
  for (u32 i = 0; i < k; i++, from += by_k, to += PANEL)
    for (u32 c = 0; c < PANEL; c++)
      to[c] = c < columns ? element(x, kind, from + (i32)c * by_n) : 0;
}

// Eight columns that lie one after the other: four times a 4 x 4 block is turned.
static void turned(const f32 *from, i32 by_n, u32 k, f32 *to) {
  for (u32 half = 0; half < PANEL; half += 4, from += 4 * by_n, to += 4)
    for (u32 i = 0; i < k; i += 4) {
      u32 n = least(k - i, 4);
      v128 x[4], y[4];
      for (u32 c = 0; c < 4; c++) {
        const f32 *at = from + (i32)c * by_n + i;
        if (n == 4) x[c] = load(at);
        else x[c] = wasm_f32x4_make(at[0], n > 1 ? at[1] : 0, n > 2 ? at[2] : 0, 0);
      }
      v128 low0 = wasm_i32x4_shuffle(x[0], x[1], 0, 4, 1, 5);
      v128 low1 = wasm_i32x4_shuffle(x[2], x[3], 0, 4, 1, 5);
      v128 high0 = wasm_i32x4_shuffle(x[0], x[1], 2, 6, 3, 7);
      v128 high1 = wasm_i32x4_shuffle(x[2], x[3], 2, 6, 3, 7);
      y[0] = wasm_i64x2_shuffle(low0, low1, 0, 2);
      y[1] = wasm_i64x2_shuffle(low0, low1, 1, 3);
      y[2] = wasm_i64x2_shuffle(high0, high1, 0, 2);
      y[3] = wasm_i64x2_shuffle(high0, high1, 1, 3);
      for (u32 c = 0; c < n; c++) store(to + PANEL * (i + c), y[c]);
    }
}

void pack_panel(const f32 *from, i32 by_k, i32 by_n, u32 k, u32 columns, f32 *to) {
  if (columns == PANEL && by_n == 1)
    for (u32 i = 0; i < k; i++, from += by_k, to += PANEL) {
      store(to, load(from));
      store(to + 4, load(from + 4));
    }
  else if (columns == PANEL && by_k == 1) turned(from, by_n, k, to);
  else by_element(from, 0, 0, by_k, by_n, k, columns, to);
}

KERNEL(gemm_pack) {
  u32 kind = a[2], n = a[3], depth = a[4], first = a[5], k = a[6];
  i32 by_k = (i32)a[8], by_n = (i32)a[9];
  u32 n1 = a[11], n2 = a[12], n3 = a[13], panels = (n + PANEL - 1) / PANEL;
  end = least(end, a[10] * n1 * n2 * n3 * panels);
  for (u32 item = begin; item < end; item++) {
    u32 column = item % panels * PANEL, z = item / panels;
    u32 z3 = z % n3, z2 = z / n3 % n2, z1 = z / n3 / n2 % n1, z0 = z / n3 / n2 / n1;
    i32 from = (i32)a[7] + (i32)column * by_n;
    from += (i32)(z0 * a[14] + z1 * a[15] + z2 * a[16] + z3 * a[17]);
    f32 *to = PTR(f32, 1) + (item * depth + first) * PANEL;
    u32 columns = least(n - column, PANEL);
    if (kind) by_element(PTR(const void, 0), kind, from, by_k, by_n, k, columns, to);
    else pack_panel(PTR(const f32, 0) + from, by_k, by_n, k, columns, to);
  }
}
