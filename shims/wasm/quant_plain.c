// quant_plain.c  matrices whose codes, scales and minima are tensors of their own into the panels of
//                quant.h, while a model loads
// items          panels of 8 rows; rows that are missing in the last one are zero
// source         onnxruntime MatMulNBits, where minimum = scale * -zero point
#include "quant.h"

typedef struct {
  u32 form, groups, blocks, rows, bytes, group;
} Layout;

INLINE Layout layout_of(const u32 *a) {
  u32 group = scale_bytes(a[0]) + a[2] * code_bytes(a[0]);
  return (Layout){a[0], a[1], a[2], a[3], a[4], group};
}

// bindings  0 codes [N, K], two in a byte where they have 4 bits, 1 panels
// numbers   form, groups, blocks of a group, rows, bytes from panel to panel
KERNEL(quant_codes) {
  Layout l = layout_of(a + 2);
  u32 block = l.form & HALVES ? 16 : 32, n = l.blocks * block;
  for (u32 p = begin; p < end; p++)
    for (u32 g = 0; g < l.groups; g++) {
      u8 *to = PTR(u8, 1) + p * l.bytes + g * l.group + scale_bytes(l.form);
      __builtin_memset(to, 0, l.blocks * code_bytes(l.form));
      for (u32 r = 0; r < least(ROWS, l.rows - p * ROWS); r++) {
        u32 first = ((p * ROWS + r) * l.groups + g) * n;
        for (u32 k = 0; k < n; k++)
          if (l.form & BITS8) to[k / 2 * 16 + 2 * r + k % 2] = PTR(const u8, 0)[first + k];
          else {
            u32 code = PTR(const u8, 0)[(first + k) / 2] >> 4 * (k % 2) & 15;
            to[code_place(r, k)] |= (u8)(code << r / 4 * 4);
          }
      }
    }
}

INLINE f32 float_at(const u8 *p, u32 wide) {
  return wide ? *(const f32 *)p : half_to_float(*(const u16 *)p);
}

INLINE void put_float(u8 *p, u32 wide, f32 x) {
  if (wide) *(f32 *)p = x;
  else *(u16 *)p = float_to_half(x);
}

enum { SCALES = 0, MINIMA = 1 };  // what comes: minima, or what times the scales are minima
enum { ALONE = 0, THERE = 1, NUMBER = 2 };  // the other factor: none or not yet, there, a number

// bindings  0 numbers [N, G], float16 or float32 as the form says, or codes of 4 bits which are taken
//           negative, 1 panels
// numbers   form, groups, blocks of a group, rows, bytes from panel to panel; what comes; where the
//           other factor is; that as a number; whether they are codes
KERNEL(quant_scales) {
  Layout l = layout_of(a + 2);
  u32 wide = l.form & WIDE, size = wide ? 4 : 2, what = a[7], other = a[8];
  u32 step = wide || !(l.form & MINIMUM) ? size : 4;  // from row to row
  u32 across = wide ? 4 * ROWS : 2;                   // from a scale to its minimum
  for (u32 p = begin; p < end; p++)
    for (u32 g = 0; g < l.groups; g++)
      for (u32 r = 0; r < ROWS; r++) {
        u32 row = p * ROWS + r, i = row * l.groups + g;
        u8 *scale = PTR(u8, 1) + p * l.bytes + g * l.group + r * step, *minimum = scale + across;
        f32 x = 0;
        if (row < l.rows)
          x = a[10] ? -(f32)(PTR(const u8, 0)[i / 2] >> 4 * (i % 2) & 15)
                   : float_at(PTR(const u8, 0) + i * size, wide);
        put_float(what == SCALES ? scale : minimum, wide, x);
        if (other == THERE) put_float(minimum, wide, float_at(scale, wide) * float_at(minimum, wide));
        if (other == NUMBER) put_float(minimum, wide, x * number(a[9]));
      }
}
