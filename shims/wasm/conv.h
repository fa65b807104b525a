// conv.h    what convolutions share
#pragma once
#include "gemm.h"

// n elements `by` apart, of which those before `low` and from `high` on are zeros
void copy_row(const f32 *from, i32 by, i32 low, i32 high, i32 n, f32 *to);
