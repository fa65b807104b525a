// resample.c  two axes stretched or shrunk: the nearest element, or a blend of four
// shapes    x [outer, h, middle, w, inner] -> y [outer, oh, middle, ow, inner]
// numbers   h w oh ow middle inner; nearest: the size of an element in bytes
// items     rows of y: outer * oh * middle
#include "kernel.h"

typedef struct {
  u32 h, w, oh, ow, middle, inner, size;
} Resample;

// A place between elements: whole + rest / over, and by how much it moves from one output to the
// next. So nothing is divided but at the beginning of a row.
typedef struct {
  i32 whole;
  u32 rest, over, wholes, rests;
} Place;

// (2 * at + 1) * n - less, over 2 * out; it may lie up to 1 before the first element
INLINE Place place(u32 at, u32 n, u32 out, u32 less) {
  u64 over = 2 * (u64)out, first = (2 * (u64)at + 1) * n + over - less;
  return (Place){(i32)(first / over) - 1, (u32)(first % over), (u32)over, 2 * n / (u32)over,
                 2 * n % (u32)over};
}

INLINE void advance(Place *p) {
  p->whole += p->wholes;
  p->rest += p->rests;
  if (p->rest >= p->over) p->rest -= p->over, p->whole++;
}

#define COPIED(T)                                                                 \
  for (u32 j = 0; j < o.ow; j++, advance(&along)) {                               \
    const T *from = (const T *)x + along.whole * o.inner;                         \
    for (u32 c = 0; c < o.inner; c++) ((T *)y)[j * o.inner + c] = from[c];        \
  }                                                                               \
  break

KERNEL(resample_nearest) {
  Resample o = *(const Resample *)(a + 2);
  for (u32 at = begin; at < end; at++) {
    u32 middle = at % o.middle, outer = at / o.middle / o.oh;
    // one less than the middle between two elements is nearest to the lower one
    Place down = place(at / o.middle % o.oh, o.h, o.oh, 1), along = place(0, o.w, o.ow, 1);
    u32 row = (outer * o.h + down.whole) * o.middle + middle;
    const u8 *x = PTR(const u8, 0) + row * o.w * o.inner * o.size;
    u8 *y = PTR(u8, 1) + at * o.ow * o.inner * o.size;
    switch (o.size) {
      case 1: COPIED(u8);
      case 2: COPIED(u16);
      case 4: COPIED(u32);
    }
  }
}

typedef struct {
  u32 low, high;
  f32 share;  // of the higher one
} Between;

INLINE Between between(const Place *p, u32 n) {
  if (p->whole < 0) return (Between){0, 0, 0};
  u32 low = least(p->whole, n - 1), high = least(low + 1, n - 1);
  return (Between){low, high, low == high ? 0 : (f32)p->rest / (f32)p->over};
}

INLINE f32 blend(f32 low, f32 high, f32 share) { return low * (1 - share) + high * share; }

#define LINEAR(T, MADE)                                                           \
  KERNEL(resample_linear_##T) {                                                   \
    Resample o = *(const Resample *)(a + 2);                                      \
    for (u32 at = begin; at < end; at++) {                                        \
      u32 middle = at % o.middle, outer = at / o.middle / o.oh;                   \
      Place row = place(at / o.middle % o.oh, o.h, o.oh, o.oh);                   \
      Place column = place(0, o.w, o.ow, o.ow);                                   \
      Between down = between(&row, o.h);                                          \
      const T *x = PTR(const T, 0), *upper, *lower;                               \
      upper = x + ((outer * o.h + down.low) * o.middle + middle) * o.w * o.inner; \
      lower = x + ((outer * o.h + down.high) * o.middle + middle) * o.w * o.inner; \
      T *RESTRICT y = PTR(T, 1) + at * o.ow * o.inner;                            \
      for (u32 j = 0; j < o.ow; j++, advance(&column)) {                          \
        Between along = between(&column, o.w);                                    \
        u32 left = along.low * o.inner, right = along.high * o.inner;             \
        for (u32 c = 0; c < o.inner; c++) {                                       \
          f32 above = blend(upper[left + c], upper[right + c], along.share);      \
          f32 below = blend(lower[left + c], lower[right + c], along.share);      \
          y[j * o.inner + c] = MADE(blend(above, below, down.share));             \
        }                                                                         \
      }                                                                           \
    }                                                                             \
  }
#define SAME(v) (v)
#define ROUNDED(v) (i32)__builtin_rintf(v)
LINEAR(f32, SAME)
LINEAR(u8, ROUNDED)
LINEAR(i8, ROUNDED)
