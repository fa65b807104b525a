// slice     y = a block of x, up to four axes
// shapes    x [X0, X1, X2, X3], y [·, Y1, Y2, Y3] from starts s0() … s3()
// dtypes    T: any type of four bytes, or f16
// bindings  x, y
// dispatch  ceil(elements / 64)
// source    WebNN slice with strides of one

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= elements()) { return; }  // the last workgroup
  let i3 = id.x % Y3 + s3();
  let i2 = id.x / Y3 % Y2 + s2();
  let i1 = id.x / (Y3 * Y2) % Y1 + s1();
  let i0 = id.x / (Y3 * Y2 * Y1) + s0();
  y[id.x] = x[((i0 * X1 + i1) * X2 + i2) * X3 + i3];
}
