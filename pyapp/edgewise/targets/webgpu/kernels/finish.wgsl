// finish    what becomes of two neighbouring results (rows `row` and `row + 1`) of a product
// consts    TOTAL: rows of the whole product; OUT: row width of y; with QKV also HEADS, KV_HEADS,
//           HEAD_DIM, ROTARY_DIMS
// flags     SWIGLU: even rows are gate, odd rows up, y = silu(gate) * up;  QKV: rotate q and k,
//           write k and v at row past + m of their states;  RESIDUAL: y = result + residual
// source    SwiGLU: arXiv:2002.05202; rotary: arXiv:2104.09864 with interleaved pairs

#if SWIGLU
fn finish(m: u32, row: u32, a: f32, b: f32) {
  y[m * OUT + row / 2u] = TY(a / (1.0 + exp(-a)) * b);
}
#else
#if QKV
#include angle.wgsl
fn finish(m: u32, row: u32, a: f32, b: f32) {
  let position = start() + m;
  let q_rows = HEADS * HEAD_DIM;
  let kv_rows = KV_HEADS * HEAD_DIM;
  var pair = vec2f(a, b);
  if (row < q_rows + kv_rows && row % HEAD_DIM < ROTARY_DIMS) {
    pair = rotate(pair, position, (row % HEAD_DIM) / 2u);
  }
  if (row < q_rows) {
    y[m * q_rows + row] = TY(pair.x);
    y[m * q_rows + row + 1u] = TY(pair.y);
  } else if (row < q_rows + kv_rows) {
    let at = position * kv_rows + row - q_rows;
    k_state[at] = TS(pair.x);
    k_state[at + 1u] = TS(pair.y);
  } else {
    let at = position * kv_rows + row - q_rows - kv_rows;
    v_state[at] = TS(pair.x);
    v_state[at + 1u] = TS(pair.y);
  }
}
#else
fn finish(m: u32, row: u32, a: f32, b: f32) {
  let at = m * OUT + row;
#if RESIDUAL
  y[at] = TY(a + f32(residual[at]));
  if (row + 1u < TOTAL) { y[at + 1u] = TY(b + f32(residual[at + 1u])); }
#else
  y[at] = TY(a);
  if (row + 1u < TOTAL) { y[at + 1u] = TY(b); }  // an odd number of rows
#endif
}
#endif
#endif
