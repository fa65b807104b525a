// weights.c  brings weights from the staging buffer to where and how kernels read them
// bindings   0 from, 1 to
// numbers    how many units there are, ...
// items      blocks of 4096 units
#include "kernel.h"

KERNEL(copy_bytes) {
  u32 first = begin * 4096, last = least(end * 4096, a[2]);
  __builtin_memcpy(PTR(u8, 1) + first, PTR(const u8, 0) + first, last - first);
}

// bfloat16 is the upper half of a float32
KERNEL(unpack_bf16) {
  u32 last = least(end * 4096, a[2]);
  for (u32 i = begin * 4096; i < last; i++) PTR(u32, 1)[i] = (u32)PTR(const u16, 0)[i] << 16;
}
