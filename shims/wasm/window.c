// window.c  poolings: a window over height and width folded to one element; padding takes no part
// shapes    x [planes, h, w, inner] -> y [planes, oh, ow, inner]; inner: channels of nhwc, or 1
// numbers   h w oh ow inner; window kh kw; strides sh sw; dilations dh dw; padding top, left; kind
// items     rows of y: planes * oh
#include "kernel.h"

enum KIND { AVERAGE, ROOT };
#define LARGER(a, b) __builtin_elementwise_max(a, b)
#define LARGER_OR_NAN(a, b) __builtin_elementwise_maximum(a, b)

typedef struct {
  i32 h, w, oh, ow, inner, kh, kw, sh, sw, dh, dw, top, left;
} Window;

// The range of steps of a window that begins at `first` whose places lie in 0 .. size - 1.
INLINE i32 from_step(i32 first, i32 dilation) {
  return first < 0 ? (-first + dilation - 1) / dilation : 0;
}
INLINE i32 to_step(i32 first, i32 dilation, i32 size, i32 steps) {
  i32 within = size > first ? (size - first + dilation - 1) / dilation : 0;
  return within < steps ? within : steps;
}

// One row of y: START, then each element of the windows folded into it.
#define POOLED(name, T, START, FOLD)                                                    \
  static void name(const Window *o, const T *RESTRICT x, T *RESTRICT y, i32 row) {      \
    i32 n = o->inner, first = row * o->sh - o->top;                                     \
    for (i32 i = 0; i < o->ow * n; i++) y[i] = START;                                   \
    i32 end = to_step(first, o->dh, o->h, o->kh);                                       \
    for (i32 i = from_step(first, o->dh); i < end; i++) {                               \
      const T *line = x + (first + i * o->dh) * o->w * n;                               \
      for (i32 j = 0; j < o->kw; j++) {                                                 \
        i32 shift = j * o->dw - o->left;                                                \
        i32 at = from_step(shift, o->sw), last = to_step(shift, o->sw, o->w, o->ow);    \
        const T *from = line + shift * n;                                               \
        if (n == 1 && o->sw == 1) {                                                     \
          for (; at < last; at++) y[at] = FOLD(y[at], from[at]);                        \
        } else if (n == 1 && o->sw == 2) {                                              \
          for (; at < last; at++) y[at] = FOLD(y[at], from[at * 2]);                    \
        } else if (n == 1) {                                                            \
          for (; at < last; at++) y[at] = FOLD(y[at], from[at * o->sw]);                \
        } else {                                                                        \
          for (; at < last; at++)                                                       \
            for (i32 c = 0; c < n; c++)                                                 \
              y[at * n + c] = FOLD(y[at * n + c], from[at * o->sw * n + c]);            \
        }                                                                               \
      }                                                                                 \
    }                                                                                   \
  }

#define RUN(name, T)                                                                    \
  Window o = *(const Window *)(a + 2);                                                  \
  for (u32 at = begin; at < end; at++) {                                                \
    const T *x = PTR(const T, 0) + at / o.oh * o.h * o.w * o.inner;                     \
    name(&o, x, PTR(T, 1) + at * o.ow * o.inner, at % o.oh);                            \
  }

#define ADD(sum, v) ((sum) + (v))
#define ADD_SQUARE(sum, v) ((sum) + (v) * (v))
POOLED(sums, f32, 0, ADD)
POOLED(square_sums, f32, 0, ADD_SQUARE)

INLINE i32 steps(i32 first, i32 dilation, i32 size, i32 most) {
  i32 n = to_step(first, dilation, size, most) - from_step(first, dilation);
  return n > 0 ? n : 0;
}

static void average(const Window *o, f32 *y, i32 row) {
  i32 high = steps(row * o->sh - o->top, o->dh, o->h, o->kh);
  for (i32 at = 0; at < o->ow; at++, y += o->inner) {
    f32 n = (f32)(high * steps(at * o->sw - o->left, o->dw, o->w, o->kw));
    for (i32 c = 0; c < o->inner; c++) y[c] /= n;
  }
}

KERNEL(pool_f32) {
  if (a[15] == ROOT) {
    RUN(square_sums, f32)
    f32 *y = PTR(f32, 1);
    u32 width = o.ow * o.inner;
    for (u32 i = begin * width; i < end * width; i++) y[i] = __builtin_sqrtf(y[i]);
  } else {
    RUN(sums, f32)
    for (u32 at = begin; at < end; at++)
      average(&o, PTR(f32, 1) + at * o.ow * o.inner, at % o.oh);
  }
}

#define LARGEST(T, START, FOLD) \
  POOLED(largest_##T, T, START, FOLD) KERNEL(pool_max_##T) { RUN(largest_##T, T) }
LARGEST(f32, -__builtin_inff(), LARGER_OR_NAN)
LARGEST(i32, -0x7fffffff - 1, LARGER)
LARGEST(u32, 0, LARGER)
LARGEST(i64, -0x7fffffffffffffffll - 1, LARGER)
LARGEST(u64, 0, LARGER)
LARGEST(i8, -128, LARGER)
LARGEST(u8, 0, LARGER)
