// angle     rotates a pair by position * FREQUENCIES[i]
// needs     FREQUENCIES, an array of theta^(-2i/dims) made by the target
// source    arXiv:2104.09864

fn rotate(pair: vec2f, position: u32, i: u32) -> vec2f {
  var frequencies = FREQUENCIES;
  let angle = f32(position) * frequencies[i];
  // WGSL gives sin and cos an error bound inside [-pi, pi] alone: reduce by 2 pi in two parts
  // (201/32 is exact, and exact times any count below 2^16).
  let turns = round(angle * 0.15915494309189535);
  let reduced = (angle - turns * 6.28125) - turns * 0.0019353071795864769;
  let c = cos(reduced);
  let s = sin(reduced);
  return vec2f(pair.x * c - pair.y * s, pair.x * s + pair.y * c);
}
