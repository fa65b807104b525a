// swiglu    y = gate * sigmoid(gate) * up
// shapes    gate up y: any, the same
// dtypes    T: f32 f16; computes in f32
// bindings  gate, up, y
// dispatch  ceil(elements / 64)
// source    arXiv:2002.05202

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= elements()) { return; }  // the last workgroup
  let g = f32(gate[id.x]);
  y[id.x] = T(g / (1.0 + exp(-g)) * f32(up[id.x]));
}
