// kv_update writes rows of x into a state from row start()
// shapes    x [S, WIDTH] -> state [T, WIDTH], in place
// dtypes    TX of x, TS of state: f32 f16
// bindings  x, state
// dispatch  ceil(S * WIDTH / 64)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= elements()) { return; }  // the last workgroup
  state[start() * WIDTH + id.x] = TS(x[id.x]);
}
