// quantized_gather  y[s] = row ids[s] of a quantised table
// shapes    codes [ROWS, K], scales [ROWS, K / GROUP], ids [S] i32 -> y [S, K]
// dtypes    TY: f32 f16
// bindings  codes (u32), scales, ids, y
// consts    ROW0: the first row of this part of the table; ids outside the part are left alone
// dispatch  [ceil(words in a row / 64), S]

#include quant.wgsl

#if BITS4
const CODES = 8u;
#else
const CODES = 4u;
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let word = id.x;
  let row = u32(ids[id.y]) - ROW0;  // wraps for ids below ROW0, and is then too large
  if (word >= K / CODES || row >= ROWS) { return; }
  let c = codes[row * (K / CODES) + word];
  let sm = scale_minimum((row * K + word * CODES) / GROUP);
  let at = id.y * K + word * CODES;
#if BITS4
  let low = codes_low(c) * sm.x + sm.y;
  let high = codes_high(c) * sm.x + sm.y;
  for (var i = 0u; i < 4u; i++) {
    y[at + i] = TY(low[i]);
    y[at + 4u + i] = TY(high[i]);
  }
#else
  let values = codes_of(c) * sm.x + sm.y;
  for (var i = 0u; i < 4u; i++) { y[at + i] = TY(values[i]); }
#endif
}
