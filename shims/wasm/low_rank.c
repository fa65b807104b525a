// low_rank.c  what adapters add to a product of matrices: x by their few rows, then those by many
//
// An adapter whose weight is zero costs a look at it. Adapters lie one after the other: their rows
// of `down` [R, K], and each [N, rank] of `up`. `table` has the rank and the scale of each.
#include "kernel.h"

typedef struct { u32 rank; f32 scale; } Adapter;

INLINE f32 dot(const f32 *x, const f32 *y, u32 n) {
  v128 sum = wasm_f32x4_const_splat(0.0f);
  u32 i = 0;
  for (; i + 4 <= n; i += 4) sum = madd(load(x + i), load(y + i), sum);
  f32 total = sum4(sum);
  for (; i < n; i++) total += x[i] * y[i];
  return total;
}

// bindings  0 x [M, K], 1 down [R, K], 2 weights [A], 3 table [A], 4 few [M, R]
// numbers   K, R, A
// items     elements of few
KERNEL(low_rank_down) {
  const f32 *weights = PTR(const f32, 2);
  const Adapter *table = PTR(const Adapter, 3);
  u32 depth = a[5], rows = a[6], adapters = a[7];
  for (u32 item = begin; item < end; item++) {
    u32 row = item % rows, owner = 0, last = table[0].rank;
    while (owner + 1 < adapters && row >= last) last += table[++owner].rank;
    if (weights[owner] == 0.0f) continue;
    f32 sum = dot(PTR(const f32, 0) + item / rows * depth, PTR(const f32, 1) + row * depth, depth);
    PTR(f32, 4)[item] = sum * (weights[owner] * table[owner].scale);
  }
}

// The row of `up` for column n: in halves of a head, where the product's columns stand in pairs.
INLINE u32 place(u32 n, u32 paired) {
  if (!paired) return n;
  u32 within = n % paired;
  return n - within + within / 2 + (within & 1) * (paired / 2);
}

// bindings  0 y [M, N], 1 few [M, R], 2 up, 3 weights [A], 4 table [A], 5 out [M, N]
// numbers   N, R, A, paired
// items     elements of y
KERNEL(low_rank_up) {
  const f32 *weights = PTR(const f32, 3);
  const Adapter *table = PTR(const Adapter, 4);
  u32 width = a[6], rows = a[7], adapters = a[8], paired = a[9];
  for (u32 item = begin; item < end; item++) PTR(f32, 5)[item] = PTR(const f32, 0)[item];
  for (u32 owner = 0, first = 0; owner < adapters; first += table[owner++].rank) {
    u32 rank = table[owner].rank;
    if (weights[owner] == 0.0f) continue;
    const f32 *up = PTR(const f32, 2) + first * width;
    for (u32 item = begin; item < end; item++) {
      const f32 *few = PTR(const f32, 1) + item / width * rows + first;
      PTR(f32, 5)[item] += dot(few, up + place(item % width, paired) * rank, rank);
    }
  }
}
