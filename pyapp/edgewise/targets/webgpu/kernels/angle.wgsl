// angle     rotates a pair by position * FREQUENCIES[i]
// needs     FREQUENCIES, an array of theta^(-2i/dims) made by the target
// source    arXiv:2104.09864; polynomials of Cephes' sinf and cosf

// (cos, sin) to about 2 ULP. WGSL's own may be off by 2^-11, and by more outside [-pi, pi].
fn cos_sin(angle: f32) -> vec2f {
  // Reduce by pi/2 in two parts: 201/128 is exact, and exact times any count below 2^16.
  let quarters = round(angle * 0.6366197723675814);
  let r = (angle - quarters * 1.5703125) - quarters * 0.0004838267948966;
  let z = r * r;
  let s = r + r * z * (-0.16666654611 + z * (0.0083321608736 - z * 0.00019515295891));
  let c = 1.0 - 0.5 * z
    + z * z * (0.041666645683 + z * (-0.0013887316255 + z * 0.000024433157118));
  let quadrant = u32(i32(quarters)) & 3u;
  let turned = select(vec2f(c, s), vec2f(-s, c), (quadrant & 1u) == 1u);
  return select(turned, -turned, quadrant >= 2u);
}

fn rotate(pair: vec2f, position: u32, i: u32) -> vec2f {
  var frequencies = FREQUENCIES;
  let turn = cos_sin(f32(position) * frequencies[i]);
  return vec2f(pair.x * turn.x - pair.y * turn.y, pair.x * turn.y + pair.y * turn.x);
}
