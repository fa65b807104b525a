// attend    y = softmax(q k^T scale + mask) v, for a block of queries at a time; no scores in memory
// shapes    q [.., S, D] with strides; k and v as panels (gemm.h), [matrices][L / 8][D][8] and
//           [matrices][DV / 8][L][8]; mask [.., S, L] with strides; y [.., S, DV]
// bindings  0 q, 1 k, 2 v, 3 mask (anything if there is none), 4 y
// numbers   5 S, L, D, DV, scale; 10 q: offset, stride of S; 12 mask: has, offset, strides of S and L;
//           16 batches n0 n1 n2 n3; their strides in q, mask (elements), k, v (matrices)
// items     batches x blocks of 32 queries; more of them do nothing
// source    the softmax is kept up to date key block by key block: Milakov and Gimelshein,
//           Online normalizer calculation for softmax, 2018
#include "gemm.h"
#include "math.h"

enum { QUERIES = 32, KEYS = 512 };

#define LEAST -3.4e38f  // where every key is masked, 0 / 0 and not NaN on the way

// What is known of a query's scores so far.
typedef struct {
  f32 largest, sum;
} Seen;

// Scores of one query to weights that are to be divided by `sum`; what earlier ones are worth now.
static f32 weigh(f32 *scores, u32 n, f32 scale, const f32 *mask, u32 by_key, Seen *seen) {
  u32 whole = (n + 3) & ~3u;
  for (u32 i = n; i < whole; i++) scores[i] = 0;
  v128 factor = wasm_f32x4_splat(scale), top = wasm_f32x4_splat(seen->largest);
  if (mask && by_key == 1) {
    u32 i = 0;
    for (; i + 4 <= n; i += 4) store(scores + i, madd(load(scores + i), factor, load(mask + i)));
    for (; i < n; i++) scores[i] = scores[i] * scale + mask[i];
  } else {
    for (u32 i = 0; i < whole; i += 4) store(scores + i, wasm_f32x4_mul(load(scores + i), factor));
    if (mask) for (u32 i = 0; i < n; i++) scores[i] += mask[i * by_key];
  }
  for (u32 i = n; i < whole; i++) scores[i] = -__builtin_inff();
  for (u32 i = 0; i < whole; i += 4) top = wasm_f32x4_pmax(top, load(scores + i));
  top = wasm_f32x4_pmax(top, wasm_i32x4_shuffle(top, top, 2, 3, 0, 1));
  top = wasm_f32x4_pmax(top, wasm_i32x4_shuffle(top, top, 1, 0, 3, 2));
  v128 sum = wasm_f32x4_splat(0);
  for (u32 i = 0; i < whole; i += 4) {
    v128 weight = exp_below4(wasm_f32x4_sub(load(scores + i), top));
    store(scores + i, weight);
    sum = wasm_f32x4_add(sum, weight);
  }
  v128 before = exp_below4(wasm_f32x4_sub(wasm_f32x4_splat(seen->largest), top));
  f32 worth = wasm_f32x4_extract_lane(before, 0);
  seen->largest = wasm_f32x4_extract_lane(top, 0);
  seen->sum = seen->sum * worth + sum4(sum);
  return worth;
}

static void times(f32 *row, u32 n, f32 factor) {
  u32 i = 0;
  for (; i + 4 <= n; i += 4)
    store(row + i, wasm_f32x4_mul(load(row + i), wasm_f32x4_splat(factor)));
  for (; i < n; i++) row[i] *= factor;
}

KERNEL(attend) {
  u32 n_queries = a[5], n_keys = a[6], depth = a[7], width = a[8];
  f32 scale = number(a[9]);
  u32 by_query = a[11], n1 = a[17], n2 = a[18], n3 = a[19];
  u32 across = (n_queries + QUERIES - 1) / QUERIES;
  u32 k_matrix = (n_keys + PANEL - 1) / PANEL * PANEL * depth;
  u32 v_matrix = (width + PANEL - 1) / PANEL * PANEL * n_keys;
  f32 scores[QUERIES * KEYS];
  end = least(end, a[16] * n1 * n2 * n3 * across);
  for (u32 item = begin; item < end; item++) {
    u32 query = item % across * QUERIES, z = item / across;
    u32 z3 = z % n3, z2 = z / n3 % n2, z1 = z / n3 / n2 % n1, z0 = z / n3 / n2 / n1;
    u32 at[4];
    for (u32 i = 0; i < 4; i++) {
      const u32 *by = a + 20 + 4 * i;
      at[i] = z0 * by[0] + z1 * by[1] + z2 * by[2] + z3 * by[3];
    }
    const f32 *q = PTR(const f32, 0) + (i32)(a[10] + at[0] + query * by_query);
    const f32 *k = PTR(const f32, 1) + at[2] * k_matrix, *v = PTR(const f32, 2) + at[3] * v_matrix;
    const f32 *mask = a[12] ? PTR(const f32, 3) + (i32)(a[13] + at[1] + query * a[14]) : 0;
    f32 *y = PTR(f32, 4) + (z * n_queries + query) * width;
    u32 rows = least(QUERIES, n_queries - query);
    Seen seen[QUERIES];
    for (u32 r = 0; r < rows; r++) {
      seen[r] = (Seen){LEAST, 0};
      __builtin_memset(y + r * width, 0, width * sizeof(f32));
    }
    for (u32 key = 0; key < n_keys; key += KEYS) {
      u32 n = least(KEYS, n_keys - key);
      multiply(q, by_query, k + key * depth, depth, depth, (Start){&NOTHING, 0, 0}, scores, KEYS,
               rows, (n + PANEL - 1) & ~(PANEL - 1u));
      for (u32 r = 0; r < rows; r++) {
        const f32 *added = mask ? mask + r * a[14] + key * a[15] : 0;
        f32 worth = weigh(scores + r * KEYS, n, scale, added, a[15], seen + r);
        if (key) times(y + r * width, width, worth);
      }
      multiply(scores, KEYS, v + key * PANEL, n_keys, n, (Start){y, width, 1}, y, width, rows, width);
    }
    for (u32 r = 0; r < rows; r++) times(y + r * width, width, 1 / seen[r].sum);
  }
}
