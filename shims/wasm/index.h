// index.h   positions: elements of index tensors
#pragma once
#include "kernel.h"

enum { I32 = 0, U32 = 1, I64 = 2 };  // kinds of positions

// Element i as a position of n: from the end if negative, clamped
INLINE u32 position(const void *at, u32 i, u32 kind, u32 n) {
  i64 p = kind == I32 ? ((const i32 *)at)[i] : kind == U32 ? ((const u32 *)at)[i]
                                                           : ((const i64 *)at)[i];
  if (p < 0) p += n;
  return p < 0 ? 0 : p >= n ? n - 1 : (u32)p;
}

// Row i of [.., depth] as a flat position among the first `depth` sizes of a tensor
INLINE u32 place(const void *at, u32 i, u32 kind, u32 depth, const u32 *sizes) {
  u32 made = 0;
  for (u32 d = 0; d < depth; d++)
    made = made * sizes[d] + position(at, i * depth + d, kind, sizes[d]);
  return made;
}
