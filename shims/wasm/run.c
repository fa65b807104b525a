// run.c  runs the steps of a program, one after another, each split among the threads.
//
// A step's items are cut into chunks of `grain` items. Threads claim chunks until none is left;
// whoever finishes the last one opens the next step. So nobody waits for a thread that has no
// work, and a chunk's results do not depend on who does it.
//
// The claims of a step are counted down in the low half of `cursor`; its high half is another
// number for each step, so that a late thread cannot claim from a step that it does not know.
#include "kernel.h"

typedef void (*Kernel)(const u32 *a, u32 begin, u32 end);
typedef struct {
  u32 kernel, arguments, items, grain;  // an index of the table, an address, and two counts
} Step;

enum { DONE = 0, LOST = 1, FAILED = 2 };

#ifndef __wasm_atomics__

EXPORT(run) u32 run(const Step *steps, u32 n) {
  for (const Step *s = steps; s < steps + n; s++)
    if (s->items) ((Kernel)s->kernel)((const u32 *)s->arguments, 0, s->items);
  return DONE;
}

#else

#define BIAS 0x40000000u  // failed claims count below it and never borrow from the high half
#define OVER 0x10000000u  // in the low half, or less: no step is left
#define SPINS 20000       // some 30 us: longer than most steps, shorter than a wake-up is worth
#define PATIENCE 20       // seconds without any progress until a helper counts as lost

static struct {
  _Alignas(64) u64 cursor;
  _Alignas(64) u32 finished;  // chunks of the step
  u32 sleepers;
  _Alignas(64) const Step *steps;
  u32 n, at, chunks;
  u32 leaving;  // helpers are to return
  u32 failed;   // a helper trapped
} pool;

#define GET(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define SET(x, v) __atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)

static u32 *turn(void) { return (u32 *)&pool.cursor + 1; }

// The one store that others wait for: whoever sees the end may begin anew at once.
static void announce(u32 low) {
  u64 next = (u64)(u32)(GET(pool.cursor) >> 32) + 1;
  SET(pool.cursor, next << 32 | low);
  if (GET(pool.sleepers)) __builtin_wasm_memory_atomic_notify((int *)turn(), 0xffffffffu);
}

static void open_step(u32 at) {
  const Step *s = pool.steps;
  while (at < pool.n && !s[at].items) at++;
  pool.at = at;
  SET(pool.finished, 0);
  if (at == pool.n) {
    announce(OVER);
    return;
  }
  pool.chunks = (s[at].items + s[at].grain - 1) / s[at].grain;
  announce(BIAS + pool.chunks);
}

// Waits for another step than `known`; false if there was none for a second.
static int awaits(u32 known) {
  for (u32 i = 0; i < SPINS; i++)
    if (GET(*turn()) != known) return 1;
  __atomic_fetch_add(&pool.sleepers, 1, __ATOMIC_SEQ_CST);
  int late = __builtin_wasm_memory_atomic_wait32((int *)turn(), (int)known, 1000000000) == 2;
  __atomic_fetch_sub(&pool.sleepers, 1, __ATOMIC_SEQ_CST);
  return !late;
}

// Claims one chunk and does it; false if none is left in this step. `known` is the step's number.
static int work(u32 *known) {
  u64 seen = GET(pool.cursor);
  *known = seen >> 32;
  if ((u32)seen <= BIAS) return 0;
  seen = __atomic_fetch_sub(&pool.cursor, 1, __ATOMIC_SEQ_CST);
  *known = seen >> 32;
  if ((u32)seen <= BIAS) return 0;
  const Step *s = pool.steps + pool.at;  // it stays open until this chunk is finished
  u32 begin = (pool.chunks - ((u32)seen - BIAS)) * s->grain;
  u32 end = least(s->items, begin + s->grain);
  ((Kernel)s->kernel)((const u32 *)s->arguments, begin, end);
  u32 chunks = pool.chunks, at = pool.at;
  if (__atomic_add_fetch(&pool.finished, 1, __ATOMIC_SEQ_CST) == chunks) open_step(at + 1);
  return 1;
}

// Whether no step is left. A claim that came too late may have counted OVER down.
static int over(void) { return (u32)GET(pool.cursor) <= OVER; }

// Runs `n` steps with the help of those who are in `help`.
EXPORT(run) u32 run(const Step *steps, u32 n) {
  pool.steps = steps;
  pool.n = n;
  open_step(0);
  u32 known, idle = 0;
  while (!over()) {
    if (work(&known) || over() || awaits(known)) idle = 0;
    else if (GET(pool.failed)) return FAILED;
    else if (++idle == PATIENCE) return LOST;
  }
  return DONE;
}

// What a helper thread calls, once; it returns after `leave`.
EXPORT(help) void help(void) {
  u32 known;
  while (!GET(pool.leaving))
    if (!work(&known) && !GET(pool.leaving)) awaits(known);
}

EXPORT(leave) void leave(void) {
  SET(pool.leaving, 1);
  announce(OVER);
}

// Says that a helper trapped: its chunk will never be finished.
EXPORT(fail) void fail(void) {
  SET(pool.failed, 1);
  if (GET(pool.sleepers)) __builtin_wasm_memory_atomic_notify((int *)turn(), 0xffffffffu);
}

#endif
