// sample.c  the next token from logits: scores, the weight of each token, and one drawn
// shapes    logits seen bias scores weights [v], settings [5], parts [blocks], token [1]; scores
//           and weights are as long as whole blocks, with what is never drawn at their end
// settings  temperature, top-k, top-p, repetition penalty, a random number in [0, 1)
// numbers   v
// items     sample_scores, sample_weights: blocks; sample_pick: one
// source    repetition penalty: arXiv:1909.05858, section 4.1; top-p: arXiv:1904.09751
//
// The thresholds of top-k and top-p are found by halving [-DEPTH, 0] 32 times: nothing is sorted.
#include "math.h"
#include "rows.h"

#define BLOCK 1024
#define DEPTH 128  // exp(-128) is 0 in float32
#define ENDLESS __builtin_inff()
enum { TEMPERATURE, TOP_K, TOP_P, PENALTY, RANDOM };

typedef struct {
  f32 score;
  u32 token;
} Best;

KERNEL(mark_seen) {
  for (u32 i = begin; i < end; i++)
    if (PTR(const u32, 0)[i] < a[2]) PTR(u32, 1)[PTR(const u32, 0)[i]] = 1;
}

KERNEL(sample_scores) {
  const f32 *logits = PTR(const f32, 0), *bias = PTR(const f32, 2);
  const u32 *seen = PTR(const u32, 1);
  f32 *scores = PTR(f32, 4);
  v128 penalty = splat(PTR(const f32, 3) + PENALTY);
  for (u32 block = begin; block < end; block++) {
    u32 first = block * BLOCK, last = least(a[6], first + BLOCK), i = first;
    v128 top = F(-ENDLESS);
    for (; i < last; i += 4) {
      u32 m = least(last - i, 4);
      v128 x = load_first(logits + i, m);
      v128 old = select4(wasm_f32x4_div(x, penalty), wasm_f32x4_mul(x, penalty),
                         wasm_f32x4_gt(x, F(0)));
      v128 fresh = wasm_i32x4_eq(load_first((const f32 *)seen + i, m), I(0));
      v128 score = wasm_f32x4_add(select4(x, old, fresh), load_first(bias + i, m));
      if (m < 4) score = select4(score, F(-ENDLESS), wasm_i32x4_lt(wasm_i32x4_make(0, 1, 2, 3),
                                                                   wasm_i32x4_splat(m)));
      store(scores + i, score);
      top = wasm_f32x4_pmax(top, score);
    }
    for (; i < first + BLOCK; i += 4) store(scores + i, F(-ENDLESS));
    top = wasm_f32x4_pmax(top, wasm_i32x4_shuffle(top, top, 2, 3, 0, 1));
    top = wasm_f32x4_pmax(top, wasm_i32x4_shuffle(top, top, 1, 0, 3, 2));
    Best best = {wasm_f32x4_extract_lane(top, 0), first};
    while (best.token + 1 < last && scores[best.token] != best.score) best.token++;
    PTR(Best, 5)[block] = best;
  }
}

static Best best_of(const Best *parts, u32 blocks) {
  Best best = parts[0];
  for (u32 i = 1; i < blocks; i++) if (parts[i].score > best.score) best = parts[i];
  return best;
}

// scores become (score - the best) / temperature, weights their exponentials
KERNEL(sample_weights) {
  f32 temperature = PTR(const f32, 0)[TEMPERATURE];
  if (temperature == 0) return;
  Best best = best_of(PTR(const Best, 1), (a[4] + BLOCK - 1) / BLOCK);
  for (u32 i = begin * BLOCK; i < end * BLOCK; i += 4) {
    v128 below = wasm_f32x4_sub(load(PTR(f32, 2) + i), wasm_f32x4_splat(best.score));
    v128 scaled = wasm_f32x4_div(below, wasm_f32x4_splat(temperature));
    store(PTR(f32, 2) + i, scaled);
    store(PTR(f32, 3) + i, exp_below4(scaled));
  }
}

// What those weigh, or how many they are, whose scaled score is at least `least`.
INLINE f32 weigh(const f32 *scaled, const f32 *weights, u32 n, f32 least, int count) {
  v128 sums[4] = {0};
  for (u32 i = 0; i < n; i += 16)
    for (u32 k = 0; k < 4; k++) {
      v128 in = wasm_f32x4_ge(load(scaled + i + 4 * k), wasm_f32x4_splat(least));
      v128 each = count ? F(1) : load(weights + i + 4 * k);
      sums[k] = wasm_f32x4_add(sums[k], wasm_v128_and(in, each));
    }
  return sum4(wasm_f32x4_add(wasm_f32x4_add(sums[0], sums[1]), wasm_f32x4_add(sums[2], sums[3])));
}

// The largest threshold, `floor` or above, over which there is enough.
INLINE f32 threshold(const f32 *scaled, const f32 *weights, u32 n, f32 floor, f32 enough,
                     int count) {
  f32 low = -DEPTH, high = 0;
  for (u32 round = 0; round < 32; round++) {
    f32 middle = 0.5f * (low + high);
    f32 least = middle > floor ? middle : floor;
    if (weigh(scaled, weights, n, least, count) >= enough) low = middle;
    else high = middle;
  }
  return low > floor ? low : floor;
}

KERNEL(sample_pick) {
  const f32 *settings = PTR(const f32, 0), *scaled = PTR(const f32, 2), *weights = PTR(const f32, 3);
  u32 blocks = (a[5] + BLOCK - 1) / BLOCK, n = blocks * BLOCK;
  Best best = best_of(PTR(const Best, 1), blocks);
  u32 *token = PTR(u32, 4);
  *token = best.token;
  if (settings[TEMPERATURE] == 0) return;
  f32 floor = -ENDLESS;
  if (settings[TOP_K] > 0 && settings[TOP_K] < (f32)a[5])
    floor = threshold(scaled, weights, n, floor, settings[TOP_K], 1);
  if (settings[TOP_P] < 1) {
    f32 enough = settings[TOP_P] * weigh(scaled, weights, n, floor, 0);
    floor = threshold(scaled, weights, n, floor, enough, 0);
  }
  double total = 0, before = 0;
  for (u32 block = 0; block < blocks; block++)
    total += weigh(scaled + block * BLOCK, weights + block * BLOCK, BLOCK, floor, 0);
  double goal = settings[RANDOM] * total;
  for (u32 i = 0; i < n; i += BLOCK) {
    double after = before + weigh(scaled + i, weights + i, BLOCK, floor, 0);
    for (u32 j = i; after > goal && j < i + BLOCK; j++) {
      if (scaled[j] < floor || weights[j] == 0) continue;
      *token = j;  // the last of the block, should rounding hide which one it is
      before += weights[j];
      if (before > goal) return;
    }
    if (after > goal) return;
    before = after;
  }
}
