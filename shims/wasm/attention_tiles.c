// attention_tiles.c  attention.c for many queries: tiles of rows (queries times heads that share keys)
//                    by tiles of keys, which are turned on their side once for all rows
// numbers            H, KH, D, past, scale, S; D a multiple of 4, at most MOST; H / KH at most ROWS
// items              tiles of ROWS / (H / KH) queries
#include "attention.h"

#define ROWS 24
#define KEYS 32
#define MOST 256  // of D

// c[r][0..8] = c * keep[r] + a[r][0..n] b[0..n][0..8]; the four rows of a are `from` apart
INLINE void tile4x8(f32 *c, u32 width, const f32 *keep, const f32 *a, u32 from, const f32 *b,
                    u32 stride, u32 n) {
  v128 s[4][2];
  for (u32 r = 0; r < 4; r++) {
    v128 by = splat(keep + r);
    s[r][0] = wasm_f32x4_mul(load(c + r * width), by);
    s[r][1] = wasm_f32x4_mul(load(c + r * width + 4), by);
  }
  _Pragma("clang loop unroll(disable)") for (u32 t = 0; t < n; t++, b += stride, a++) {
    v128 low = load(b), high = load(b + 4);
    for (u32 r = 0; r < 4; r++) {
      v128 x = splat(a + r * from);
      s[r][0] = madd(x, low, s[r][0]);
      s[r][1] = madd(x, high, s[r][1]);
    }
  }
  for (u32 r = 0; r < 4; r++) {
    store(c + r * width, s[r][0]);
    store(c + r * width + 4, s[r][1]);
  }
}

// The last four columns
INLINE void tile4x4(f32 *c, u32 width, const f32 *keep, const f32 *a, u32 from, const f32 *b,
                    u32 stride, u32 n) {
  for (u32 r = 0; r < 4; r++) {
    v128 s = wasm_f32x4_mul(load(c + r * width), splat(keep + r));
    for (u32 t = 0; t < n; t++) s = madd(splat(a + r * from + t), load(b + t * stride), s);
    store(c + r * width, s);
  }
}

// Keys [n, D] as [D, KEYS], D a multiple of 4; what is missing is zero
static void on_side(f32 *to, const f32 *k, u32 stride, u32 size, u32 n) {
  for (u32 t = 0; t < KEYS; t += 4)
    for (u32 i = 0; i < size; i += 4) {
      v128 x[4];
      for (u32 j = 0; j < 4; j++) x[j] = t + j < n ? load(k + (t + j) * stride + i) : F(0.0f);
      v128 a = wasm_i32x4_shuffle(x[0], x[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(x[0], x[1], 2, 6, 3, 7);
      v128 c = wasm_i32x4_shuffle(x[2], x[3], 0, 4, 1, 5), d = wasm_i32x4_shuffle(x[2], x[3], 2, 6, 3, 7);
      f32 *y = to + i * KEYS + t;
      store(y, wasm_i32x4_shuffle(a, c, 0, 1, 4, 5));
      store(y + KEYS, wasm_i32x4_shuffle(a, c, 2, 3, 6, 7));
      store(y + 2 * KEYS, wasm_i32x4_shuffle(b, d, 0, 1, 4, 5));
      store(y + 3 * KEYS, wasm_i32x4_shuffle(b, d, 2, 3, 6, 7));
    }
}

typedef struct {
  f32 q[ROWS * MOST], y[ROWS * MOST], keys[MOST * KEYS], p[ROWS * KEYS], keep[ROWS];
  Soft soft[ROWS];
} Tile;

// What n keys add to y; row r sees those before `seen` + r / group
static void add_keys(Tile *tile, const f32 *k, const f32 *v, u32 stride, u32 size, u32 n, u32 rows,
                     u32 group, i32 seen) {
  const f32 nothing[4] = {0, 0, 0, 0};
  on_side(tile->keys, k, stride, size, n);
  __builtin_memset(tile->p, 0, rows * KEYS * sizeof(f32));
  for (u32 r = 0; r < rows; r += 4)
    for (u32 t = 0; t < KEYS; t += 8)
      tile4x8(tile->p + r * KEYS + t, KEYS, nothing, tile->q + r * size, size, tile->keys + t, KEYS,
              size);
  for (u32 r = 0; r < rows; r++) {
    i32 all = seen + (i32)(r / group);
    u32 some = all < 0 ? 0 : least((u32)all, n);
    f32 *p = tile->p + r * KEYS;
    tile->keep[r] = some ? soften(&tile->soft[r], p, some) : 1;
    for (u32 t = some; t < KEYS; t++) p[t] = 0;
  }
  for (u32 r = 0; r < rows; r += 4)
    for (u32 i = 0; i < size; i += 8) {
      f32 *y = tile->y + r * size + i;
      if (i + 8 <= size)
        tile4x8(y, size, tile->keep + r, tile->p + r * KEYS, KEYS, v + i, stride, n);
      else tile4x4(y, size, tile->keep + r, tile->p + r * KEYS, KEYS, v + i, stride, n);
    }
}

KERNEL(attention_tiles) {
  u32 heads = a[4], kv_heads = a[5], size = a[6], past = a[7], queries = a[9];
  u32 group = heads / kv_heads, each = ROWS / group, stride = kv_heads * size;
  v128 scale = wasm_f32x4_splat(number(a[8]));
  Tile tile;
  for (u32 item = begin; item < end; item++)
    for (u32 head = 0; head < kv_heads; head++) {
      u32 s = item * each, rows = least(each, queries - s) * group, whole = (rows + 3) / 4 * 4;
      __builtin_memset(tile.q, 0, whole * size * sizeof(f32));
      __builtin_memset(tile.y, 0, whole * size * sizeof(f32));
      for (u32 r = 0; r < whole; r++) tile.soft[r] = (Soft){-1e30f, 0};
      for (u32 r = 0; r < rows; r++) {
        const f32 *q = PTR(const f32, 0) + ((s + r / group) * heads + head * group + r % group) * size;
        for (u32 i = 0; i < size; i += 4)
          store(tile.q + r * size + i, wasm_f32x4_mul(load(q + i), scale));
      }
      u32 keys = past + s + rows / group;
      for (u32 t = 0; t < keys; t += KEYS) {
        u32 at = t * stride + head * size;
        add_keys(&tile, PTR(const f32, 1) + at, PTR(const f32, 2) + at, stride, size,
                 least(KEYS, keys - t), whole, group, (i32)(past + s + 1 - t));
      }
      for (u32 r = 0; r < rows; r++) {
        f32 *y = PTR(f32, 3) + ((s + r / group) * heads + head * group + r % group) * size;
        v128 by = wasm_f32x4_splat(1 / tile.soft[r].total);
        for (u32 i = 0; i < size; i += 4)
          store(y + i, wasm_f32x4_mul(load(tile.y + r * size + i), by));
      }
    }
}
