// recurrent.c  lstm and gru: all steps of a sequence
// shapes    x [rows, in] (rows: steps * batch), weights [ways * gates * n, in]
//           recurrent weights [ways, gates * n, n], biases [ways, gates * n], peepholes [ways, 3 * n]
//           states, cells [ways, batch, n], sequence [steps, ways, batch, n]
// items     recurrent_inputs: blocks of rows of the weights, for each row of x
//           lstm, gru: ways * batch, each from the first step to the last
#include "math.h"
#include "rows.h"

#define UNITS 4     // hidden units at once
#define OUTPUTS 64  // of an item of recurrent_inputs

// x . w of four rows of weights
INLINE v128 dots(const f32 *x, const f32 *const *w, u32 n) {
  v128 s[8] = {0};
  u32 i = 0;
  for (; i + 8 <= n; i += 8)
    for (u32 j = 0; j < 4; j++) {
      s[j] = madd(load(w[j] + i), load(x + i), s[j]);
      s[4 + j] = madd(load(w[j] + i + 4), load(x + i + 4), s[4 + j]);
    }
  for (; i < n; i += 4)
    for (u32 j = 0, m = least(n - i, 4); j < 4; j++)
      s[j] = madd(load_first(w[j] + i, m), load_first(x + i, m), s[j]);
  for (u32 j = 0; j < 4; j++) s[j] = wasm_f32x4_add(s[j], s[4 + j]);
  v128 a = wasm_f32x4_add(wasm_i32x4_shuffle(s[0], s[1], 0, 4, 1, 5),
                          wasm_i32x4_shuffle(s[0], s[1], 2, 6, 3, 7));
  v128 b = wasm_f32x4_add(wasm_i32x4_shuffle(s[2], s[3], 0, 4, 1, 5),
                          wasm_i32x4_shuffle(s[2], s[3], 2, 6, 3, 7));
  return wasm_f32x4_add(wasm_i32x4_shuffle(a, b, 0, 1, 4, 5), wasm_i32x4_shuffle(a, b, 2, 3, 6, 7));
}

// Rows `at` to `at` + 3 of w [rows, n]; those past the end are the last.
static __attribute__((noinline)) v128 rows_dots(const f32 *x, const f32 *w, u32 at, u32 rows, u32 n) {
  const f32 *each[4];
  for (u32 j = 0; j < 4; j++) each[j] = w + least(at + j, rows - 1) * n;
  return dots(x, each, n);
}

// bindings  x, weights, biases, y [rows, outputs]
// numbers   in, outputs, whether there are biases
KERNEL(recurrent_inputs) {
  u32 n = a[4], outputs = a[5], blocks = (outputs + OUTPUTS - 1) / OUTPUTS;
  for (u32 item = begin; item < end; item++) {
    u32 row = item / blocks, first = item % blocks * OUTPUTS;
    f32 *y = PTR(f32, 3) + row * outputs;
    for (u32 i = first; i < least(outputs, first + OUTPUTS); i += 4) {
      u32 m = least(outputs - i, 4);
      v128 v = rows_dots(PTR(const f32, 0) + row * n, PTR(const f32, 1), i, outputs, n);
      if (a[6]) v = wasm_f32x4_add(v, load_first(PTR(const f32, 2) + i, m));
      store_first(y + i, v, m);
    }
  }
}

enum { SIGMOID, TANH, RELU };
static __attribute__((noinline)) v128 activated(u32 function, v128 x) {
  if (function == SIGMOID) return sigmoid4(x);
  return function == TANH ? tanh4(x) : wasm_f32x4_max(x, F(0));
}

// bindings  0 inputs, 1 recurrent weights, 2 recurrent biases, 3 initial state, then an operator's
//           own; inputs [steps, batch, ways, gates * n] have the inputs' products and biases
typedef struct {
  u32 steps, ways, batch, n, backward;     // of the first direction
  u32 order[4], functions[3], biased, started;  // the gates' places; which operands there are
} Walk;

typedef struct {
  const f32 *given, *w, *bias;  // at the direction's first gate
  const f32 *state;             // before the step, or null for zeros
  f32 *next;
  u32 m;
} Now;

INLINE Now at_step(const Walk *o, const u32 *a, f32 *sequence, u32 item, u32 step, u32 gates) {
  u32 way = item / o->batch, b = item % o->batch, all = gates * o->n, slice = o->ways * o->batch;
  u32 back = way ? 1 : o->backward, time = back ? o->steps - 1 - step : step;
  f32 *next = sequence + (time * slice + item) * o->n;
  const f32 *before = back ? next + slice * o->n : next - slice * o->n;
  if (!step) before = o->started ? PTR(const f32, 3) + item * o->n : 0;
  return (Now){PTR(const f32, 0) + ((time * o->batch + b) * o->ways + way) * all,
               PTR(const f32, 1) + way * all * o->n,
               o->biased ? PTR(const f32, 2) + way * all : 0, before, next, 0};
}

// The product of a gate's recurrent weights and `state`, with its bias.
INLINE v128 recurred(const Walk *o, const Now *now, const f32 *state, u32 gate, u32 unit) {
  v128 v = F(0);
  if (state) v = rows_dots(state, now->w + o->order[gate] * o->n * o->n, unit, o->n, o->n);
  if (!now->bias) return v;
  return wasm_f32x4_add(v, load_first(now->bias + o->order[gate] * o->n + unit, now->m));
}

INLINE v128 given(const Walk *o, const Now *now, u32 gate, u32 unit) {
  return load_first(now->given + o->order[gate] * o->n + unit, now->m);
}

INLINE v128 gate_of(const Walk *o, const Now *now, u32 gate, u32 unit) {
  return wasm_f32x4_add(given(o, now, gate, unit), recurred(o, now, now->state, gate, unit));
}

// bindings  4 initial cell, 5 peepholes, 6 state, 7 cell, 8 sequence
// numbers   of Walk; whether there is an initial cell, whether there are peepholes
KERNEL(lstm) {
  enum { I, O, F_, G };
  Walk o = *(const Walk *)(a + 9);
  u32 with_cell = a[23], peeps = a[24], n = o.n;
  for (u32 item = begin; item < end; item++) {
    f32 *cell = PTR(f32, 7) + item * n;
    const f32 *peep = PTR(const f32, 5) + item / o.batch * 3 * n, *last = 0;
    for (u32 i = 0; i < n; i++) cell[i] = with_cell ? PTR(const f32, 4)[item * n + i] : 0;
    for (u32 step = 0; step < o.steps; step++) {
      Now now = at_step(&o, a, PTR(f32, 8), item, step, 4);
      for (u32 u = 0; u < n; u += UNITS) {
        u32 m = now.m = least(n - u, UNITS);
        v128 c = load_first(cell + u, m), v[3];
        for (u32 gate = I; gate <= F_; gate++) {
          v[gate] = gate_of(&o, &now, gate, u);
          if (peeps)
            v[gate] = wasm_f32x4_add(v[gate], wasm_f32x4_mul(c, load_first(peep + gate * n + u, m)));
          v[gate] = activated(o.functions[0], v[gate]);
        }
        v128 content = activated(o.functions[1], gate_of(&o, &now, G, u));
        c = wasm_f32x4_add(wasm_f32x4_mul(v[F_], c), wasm_f32x4_mul(v[I], content));
        store_first(cell + u, c, m);
        store_first(now.next + u, wasm_f32x4_mul(v[O], activated(o.functions[2], c)), m);
      }
      last = now.next;
    }
    for (u32 i = 0; i < n && last; i++) PTR(f32, 6)[item * n + i] = last[i];
  }
}

// bindings  4 scratch [ways, batch, n], 5 state, 6 sequence
// numbers   of Walk; whether the reset comes after the product
KERNEL(gru) {
  enum { Z, R, N };
  Walk o = *(const Walk *)(a + 7);
  u32 after = a[21], n = o.n;
  for (u32 item = begin; item < end; item++) {
    f32 *reset = PTR(f32, 4) + item * n;
    const f32 *last = 0;
    for (u32 step = 0; step < o.steps; step++) {
      Now now = at_step(&o, a, PTR(f32, 6), item, step, 3);
      for (u32 u = 0; u < n && !after && now.state; u += UNITS) {
        now.m = least(n - u, UNITS);
        v128 r = activated(o.functions[0], gate_of(&o, &now, R, u));
        store_first(reset + u, wasm_f32x4_mul(r, load_first(now.state + u, now.m)), now.m);
      }
      for (u32 u = 0; u < n; u += UNITS) {
        u32 m = now.m = least(n - u, UNITS);
        v128 z = activated(o.functions[0], gate_of(&o, &now, Z, u));
        v128 old = now.state ? load_first(now.state + u, m) : F(0);
        v128 kept = recurred(&o, &now, now.state && !after ? reset : now.state, N, u);
        if (after) kept = wasm_f32x4_mul(kept, activated(o.functions[0], gate_of(&o, &now, R, u)));
        v128 fresh = activated(o.functions[1], wasm_f32x4_add(given(&o, &now, N, u), kept));
        v128 made = wasm_f32x4_mul(fresh, wasm_f32x4_sub(F(1), z));
        store_first(now.next + u, wasm_f32x4_add(wasm_f32x4_mul(z, old), made), m);
      }
      last = now.next;
    }
    for (u32 i = 0; i < n && last; i++) PTR(f32, 5)[item * n + i] = last[i];
  }
}
