// resample.c  two axes stretched or shrunk: the nearest element, or a blend of four
// shapes    x [outer, h, middle, w, inner] -> y [outer, oh, middle, ow, inner]
// numbers   h w oh ow middle inner; nearest: the size of an element in bytes
// items     rows of y: outer * oh * middle
#include "kernel.h"

typedef struct {
  u32 h, w, oh, ow, middle, inner, size;
} Resample;

#define COLUMNS 1024  // of y at once: where they come from is found once for all rows

// One less than the middle between two elements is nearest to the lower one.
INLINE u32 nearest(u32 at, u32 n, u32 out) {
  return (u32)(((2 * (u64)at + 1) * n - 1) / (2 * (u64)out));
}

#define COPY(T)                                                                   \
  static void copy_##T(const T *RESTRICT x, T *RESTRICT y, const u32 *RESTRICT places, u32 m, \
                       u32 inner) {                                               \
    if (inner == 1)                                                               \
      for (u32 j = 0; j < m; j++) y[j] = x[places[j]];                            \
    else                                                                          \
      for (u32 j = 0; j < m; j++)                                                 \
        for (u32 c = 0; c < inner; c++) y[j * inner + c] = x[places[j] + c];      \
  }
COPY(u8)
COPY(u16)
COPY(u32)
#define COPIED(T) copy_##T((const T *)x, (T *)y, places, m, o.inner)

KERNEL(resample_nearest) {
  Resample o = *(const Resample *)(a + 2);
  u32 places[COLUMNS];
  for (u32 first = 0; first < o.ow; first += COLUMNS) {
    u32 m = least(o.ow - first, COLUMNS);
    for (u32 j = 0; j < m; j++) places[j] = nearest(first + j, o.w, o.ow) * o.inner;
    for (u32 at = begin; at < end; at++) {
      u32 middle = at % o.middle, outer = at / o.middle / o.oh;
      u32 row = (outer * o.h + nearest(at / o.middle % o.oh, o.h, o.oh)) * o.middle + middle;
      const u8 *x = PTR(const u8, 0) + row * o.w * o.inner * o.size;
      u8 *y = PTR(u8, 1) + (at * o.ow + first) * o.inner * o.size;
      switch (o.size) {
        case 1: COPIED(u8); break;
        case 2: COPIED(u16); break;
        case 4: COPIED(u32); break;
      }
    }
  }
}

typedef struct {
  u32 low, high;
  f32 share;  // of the higher one
} Between;

INLINE Between between(u32 at, u32 n, u32 out) {
  i64 over = 2 * (i64)out, place = (2 * (i64)at + 1) * n - out, most = over * (n - 1);
  place = place < 0 ? 0 : place > most ? most : place;
  u32 low = (u32)(place / over);
  return (Between){low, least(low + 1, n - 1), (f32)(place % over) / (f32)over};
}

INLINE f32 blend(f32 low, f32 high, f32 share) { return low * (1 - share) + high * share; }

#define LINEAR(T, MADE)                                                           \
  INLINE void blend_##T(const T *RESTRICT upper, const T *RESTRICT lower, T *RESTRICT y, \
                        const Between *RESTRICT places, f32 down, u32 m, u32 inner) { \
    for (u32 j = 0; j < m; j++) {                                                 \
      Between along = places[j];                                                  \
      u32 left = along.low * inner, right = along.high * inner, c = 0;            \
      do {                                                                        \
        f32 above = blend(upper[left + c], upper[right + c], along.share);        \
        f32 below = blend(lower[left + c], lower[right + c], along.share);        \
        y[j * inner + c] = MADE(blend(above, below, down));                       \
      } while (++c < inner);                                                      \
    }                                                                             \
  }                                                                               \
  KERNEL(resample_linear_##T) {                                                   \
    Resample o = *(const Resample *)(a + 2);                                      \
    Between places[COLUMNS];                                                      \
    for (u32 first = 0; first < o.ow; first += COLUMNS) {                         \
      u32 m = least(o.ow - first, COLUMNS);                                       \
      for (u32 j = 0; j < m; j++) places[j] = between(first + j, o.w, o.ow);      \
      for (u32 at = begin; at < end; at++) {                                      \
        u32 middle = at % o.middle, outer = at / o.middle / o.oh;                 \
        Between down = between(at / o.middle % o.oh, o.h, o.oh);                  \
        u32 row = outer * o.h * o.middle + middle, width = o.w * o.inner;         \
        const T *x = PTR(const T, 0) + row * width;                               \
        const T *upper = x + down.low * o.middle * width;                         \
        const T *lower = x + down.high * o.middle * width;                        \
        T *y = PTR(T, 1) + (at * o.ow + first) * o.inner;                         \
        if (o.inner == 1) blend_##T(upper, lower, y, places, down.share, m, 1);   \
        else blend_##T(upper, lower, y, places, down.share, m, o.inner);          \
      }                                                                           \
    }                                                                             \
  }
#define SAME(v) (v)
#define ROUNDED(v) (i32)__builtin_rintf(v)
LINEAR(f32, SAME)
LINEAR(u8, ROUNDED)
LINEAR(i8, ROUNDED)
