// rotary    rotates pairs of x's last axis by position
// shapes    x [S, HEADS, D] -> y the same; row s has position start() + s
// dtypes    T: f32 f16; computes in f32
// bindings  x, y
// consts    ROTARY_DIMS of D rotate; INTERLEAVED pairs (2i, 2i+1), else (i, i + ROTARY_DIMS/2)
// dispatch  ceil(S * HEADS * D / 2 / 64)
// source    arXiv:2104.09864

#include angle.wgsl

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= pairs()) { return; }  // the last workgroup
  let half = D / 2u;
  let head = id.x / half;
  let i = id.x % half;
  var a = head * D + 2u * i;
  var b = a + 1u;
  if (!INTERLEAVED && i < ROTARY_DIMS / 2u) {
    a = head * D + i;
    b = a + ROTARY_DIMS / 2u;
  }
  var pair = vec2f(f32(x[a]), f32(x[b]));
  if (i < ROTARY_DIMS / 2u) { pair = rotate(pair, start() + head / HEADS, i); }
  y[a] = T(pair.x);
  y[b] = T(pair.y);
}
