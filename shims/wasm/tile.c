// tile.c    y = program(x0, x1, ...): element-wise operators and chains of them (tile.h)
// shapes    y row-major; each x by strides, 0 where it is broadcast
// dtypes    all: float16 is computed as float32, 8-bit integers as 32-bit ones
// bindings  1 to 8 read, 1 write: tile1 to tile8
// items     blocks of 1024 elements of y
#include "math.h"
#include "tile.h"

#define LOAD_WORDS 6
#define BLOCK 1024
#define SHORT 64  // a tile goes over the end of rows that are shorter
#define UNIT 16   // what instructions do at once

#define ADDRESS(name) tile_##name,
static Instruction *const TABLE[] = {OPCODES(ADDRESS)};

static const u8 BYTES[] = {4, 8, 2, 1, 1};  // of an element of each kind

typedef struct {
  u32 row, rest;   // the row that a tile begins in, and where
  u32 n1, n2, n3;  // sizes
} Place;

// n elements from memory, one after the other, as a register has them
static void fetch_run(u32 kind, void *to, const u8 *from, u32 n) {
  u32 whole = n & ~15u;
  switch (kind) {
    case WORD:
      if (n < 32) for (u32 i = 0; i < n; i++) ((u32 *)to)[i] = ((const u32 *)from)[i];
      else __builtin_memcpy(to, from, n * 4);
      return;
    case WIDE: __builtin_memcpy(to, from, n * 8); return;
    case HALF:
      for (u32 i = 0; i < whole; i += 8) {
        v128 h = load(from + 2 * i);
        store((f32 *)to + i, half_to_float4(h));
        store((f32 *)to + i + 4, half_to_float4(wasm_i64x2_shuffle(h, h, 1, 1)));
      }
      for (u32 i = whole; i < n; i++) ((f32 *)to)[i] = half_to_float(((const u16 *)from)[i]);
      return;
    case INT8:
      for (u32 i = 0; i < n; i++) ((i32 *)to)[i] = ((const i8 *)from)[i];
      return;
    case UINT8:
      for (u32 i = 0; i < n; i++) ((u32 *)to)[i] = from[i];
  }
}

static void fill(u32 kind, void *to, u64 bits, u32 n) {
  if (kind == WIDE) for (u32 i = 0; i < n; i += 2) store((u64 *)to + i, wasm_i64x2_splat(bits));
  else for (u32 i = 0; i < n; i += 4) store((u32 *)to + i, wasm_i32x4_splat(bits));
}

static u64 fetch_one(u32 kind, const u8 *from) {
  u64 made = 0;
  fetch_run(kind, &made, from, 1);
  return made;
}

// n elements that are `stride` apart
static void fetch_apart(u32 kind, void *to, const u8 *from, i32 stride, u32 n) {
  switch (kind) {
    case WORD:
      for (u32 i = 0; i < n; i++) ((u32 *)to)[i] = ((const u32 *)from)[(i32)i * stride];
      return;
    case WIDE:
      for (u32 i = 0; i < n; i++) ((u64 *)to)[i] = ((const u64 *)from)[(i32)i * stride];
      return;
    case HALF:
      for (u32 i = 0; i < n; i++)
        ((f32 *)to)[i] = half_to_float(((const u16 *)from)[(i32)i * stride]);
      return;
    case INT8:
      for (u32 i = 0; i < n; i++) ((i32 *)to)[i] = ((const i8 *)from)[(i32)i * stride];
      return;
    case UINT8:
      for (u32 i = 0; i < n; i++) ((u32 *)to)[i] = from[(i32)i * stride];
  }
}

// Whether an operand lies as the output does; the stride of an axis of one element is any.
static int is_linear(const u32 *load, u32 total, Place at) {
  u32 matrix = at.n2 * at.n3, block = at.n1 * matrix;
  return (load[5] == 1 || at.n3 == 1) && (load[4] == at.n3 || at.n2 == 1) &&
         (load[3] == matrix || at.n1 == 1) && (load[2] == block || block == total);
}

static int is_single(const u32 *load) { return !(load[2] | load[3] | load[4] | load[5]); }

// Whether an operand is one short row again and again, so that all tiles of it are alike
static int is_repeated(const u32 *load, Place at) {
  return !(load[2] | load[3] | load[4]) && load[5] == 1 && at.n3 < SHORT && TILE % at.n3 == 0;
}

static const u8 *memory_of(const u32 *a, const u32 *load) {
  return (const u8 *)a[load[0] >> 16] + (i32)load[1] * (i32)BYTES[load[0] >> 8 & 255];
}

// Elements of one row of an operand, as a register has them
static void fetch_row(const u32 *load, void *to, const u8 *from, u32 n) {
  u32 kind = load[0] >> 8 & 255;
  i32 stride = (i32)load[5];
  if (stride == 1) fetch_run(kind, to, from, n);
  else if (stride == 0 && n == TILE) fill(kind, to, fetch_one(kind, from), n);
  else fetch_apart(kind, to, from, stride, n);
}

// A tile of an operand by strides: it begins at `at` and may go over several rows.
static void fetch(const u32 *a, const u32 *load, Place at, u32 n, u8 *to) {
  u32 kind = load[0] >> 8 & 255, size = kind == WIDE ? 8 : 4;
  i32 bytes = BYTES[kind];
  const u8 *base = memory_of(a, load);
  u32 i2 = at.row % at.n2, i1 = at.row / at.n2 % at.n1, i0 = at.row / at.n2 / at.n1;
  while (n) {
    u32 run = least(n, at.n3 - at.rest);
    i32 index = (i32)(i0 * load[2] + i1 * load[3] + i2 * load[4] + at.rest * load[5]);
    fetch_row(load, to, base + index * bytes, run);
    to += run * size;
    n -= run;
    at.rest = 0;
    if (++i2 == at.n2) {
      i2 = 0;
      if (++i1 == at.n1) i1 = 0, i0++;
    }
  }
}

// Where a tile of an operand is: where it lies, or in `own` after it was brought there. `first` is
// its first element if the operand lies as the output does.
static const void *bring(const u32 *a, const u32 *load, int linear, u32 first, Place at, u32 n,
                         void *own) {
  u32 kind = load[0] >> 8 & 255;
  const u8 *from = memory_of(a, load);
  int one_row = at.rest + n <= at.n3;
  if (linear) from += first * BYTES[kind];
  else if (one_row && load[5] == 1) {
    u32 i2 = at.row % at.n2, i1 = at.row / at.n2 % at.n1, i0 = at.row / at.n2 / at.n1;
    from += (i32)(i0 * load[2] + i1 * load[3] + i2 * load[4] + at.rest) * (i32)BYTES[kind];
  } else {
    fetch(a, load, at, n, own);
    return own;
  }
  if (kind <= WIDE && n % UNIT == 0) return from;
  fetch_run(kind, own, from, n);
  return own;
}

static void put(u32 kind, u8 *to, const void *from, u32 n) {
  u32 whole = n & ~7u;
  switch (kind) {
    case WORD:
    case WIDE:
      if (to != from) __builtin_memcpy(to, from, n * BYTES[kind]);
      return;
    case HALF:
      for (u32 i = 0; i < whole; i += 8)
        store(to + 2 * i, floats_to_halves8(load((const f32 *)from + i), load((const f32 *)from + i + 4)));
      for (u32 i = whole; i < n; i++) ((u16 *)to)[i] = float_to_half(((const f32 *)from)[i]);
      return;
    default:
      for (u32 i = 0; i < n; i++) to[i] = ((const u32 *)from)[i];
  }
}

// The elements `first` to `first + n` - 1 of y, which may lie where one of the operands does
static void tile_run(const u32 *a, const u32 *program, u32 first, u32 n) {
  _Alignas(16) u64 memory[REGISTERS][TILE];
  const void *at[REGISTERS];
  u32 n_loads = program[0], n_constants = program[1], n_code = program[2];
  const u32 *loads = program + 8, *constants = loads + n_loads * LOAD_WORDS;
  const u32 *code = constants + 3 * n_constants;
  u32 result = program[3] & 255, kind = program[3] >> 8 & 255;
  u8 *y = (u8 *)a[program[3] >> 16];
  Place place = {0, 0, program[5], program[6], program[7]};
  u32 straight = 0, kept = 0;  // loads that lie as the output does; that are the same in all tiles
  for (u32 i = 0; i < n_constants; i++) {
    const u32 *c = constants + 3 * i;
    u32 to = c[0] & 255;
    fill(c[0] >> 8, memory[to], (u64)c[2] << 32 | c[1], TILE);
    at[to] = memory[to];
  }
  for (u32 i = 0; i < n_loads; i++) {
    const u32 *l = loads + i * LOAD_WORDS;
    u32 to = l[0] & 255, k = l[0] >> 8 & 255;
    if (is_single(l)) fill(k, memory[to], fetch_one(k, memory_of(a, l)), TILE);
    else if (is_repeated(l, place) && first % place.n3 == 0)
      for (u32 j = 0; j < TILE; j += place.n3)
        fetch_run(k, (u8 *)memory[to] + j * (k == WIDE ? 8 : 4), memory_of(a, l), place.n3);
    else {
      straight |= (u32)is_linear(l, program[4], place) << i;
      continue;
    }
    at[to] = memory[to];
    kept |= 1u << i;
  }
  if ((straight | kept) == (1u << n_loads) - 1) place = (Place){0, 0, 1, 1, program[4]};
  for (u32 end = first + n, m; first < end; first += m) {
    place.row = first / place.n3;
    place.rest = first % place.n3;
    m = least(TILE, end - first);
    if (place.n3 >= SHORT) m = least(m, place.n3 - place.rest);
    for (u32 i = 0; i < n_loads; i++) {
      const u32 *l = loads + i * LOAD_WORDS;
      u32 to = l[0] & 255;
      if (!(kept >> i & 1)) at[to] = bring(a, l, straight >> i & 1, first, place, m, memory[to]);
    }
    u8 *to = y + first * BYTES[kind];
    void *last = kind <= WIDE && m % UNIT == 0 ? to : (void *)memory[result];
    for (u32 i = 0; i < n_code; i++) {
      u32 w = code[2 * i], from = code[2 * i + 1], d = w >> 8;
      void *made = i + 1 == n_code ? last : (void *)memory[d];
      TABLE[w & 255](made, at[from & 255], at[from >> 8 & 255], at[from >> 16],
                     (m + UNIT - 1) & ~(UNIT - 1u));
      at[d] = made;
    }
    put(kind, to, at[result], m);
  }
}

// the step of n inputs
#define STEP(n)                                                   \
  KERNEL(tile##n) {                                               \
    const u32 *program = a + n + 1;                               \
    u32 first = begin * BLOCK, last = least(end * BLOCK, program[4]); \
    tile_run(a, program, first, last - first);                    \
  }
STEP(1)
STEP(2)
STEP(3)
STEP(4)
STEP(5)
STEP(6)
STEP(7)
STEP(8)
