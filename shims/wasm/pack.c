// pack.c    4-bit integers: two to a byte, the lower first, as hosts have them; between kernels one
// bindings  0 from, 1 to
// numbers   elements; whether they are signed
// items     blocks of 4096 elements
#include "kernel.h"

KERNEL(unpack_nibbles) {
  const u8 *x = PTR(const u8, 0);
  u32 last = least(end * 4096, a[2]);
  u8 top = a[3] ? 8 : 0;  // what is toggled, then subtracted, to extend the sign
  for (u32 i = begin * 4096; i < last; i++) {
    u8 n = x[i / 2] >> (i % 2 * 4) & 15;
    PTR(u8, 1)[i] = (u8)((n ^ top) - top);
  }
}

KERNEL(pack_nibbles) {
  const u8 *x = PTR(const u8, 0);
  u32 last = least(end * 4096, a[2]);
  for (u32 i = begin * 4096; i < last; i += 2) {
    u8 high = i + 1 < last ? x[i + 1] << 4 : 0;
    PTR(u8, 1)[i / 2] = (x[i] & 15) | high;
  }
}
