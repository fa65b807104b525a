// int_pow   a to the power of b, b >= 0, by squaring; wraps around
// dtypes    i32, u32

fn int_pow_u32(a: u32, b: u32) -> u32 {
  var result = 1u;
  var base = a;
  for (var left = b; left > 0u; left >>= 1u) {
    if ((left & 1u) == 1u) { result *= base; }
    base *= base;
  }
  return result;
}

fn int_pow_i32(a: i32, b: i32) -> i32 {
  return bitcast<i32>(int_pow_u32(bitcast<u32>(a), bitcast<u32>(max(b, 0i))));
}
