// int64     arithmetic of 64-bit integers, which WGSL lacks
// dtypes    vec2u: low word, high word; two's complement where signed
// source    Hacker's Delight, chapters 2, 8 and 9

fn add64(a: vec2u, b: vec2u) -> vec2u {
  let low = a.x + b.x;
  return vec2u(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn sub64(a: vec2u, b: vec2u) -> vec2u {
  return vec2u(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn neg64(a: vec2u) -> vec2u { return sub64(vec2u(0u, 0u), a); }

fn less_u64(a: vec2u, b: vec2u) -> bool { return select(a.y < b.y, a.x < b.x, a.y == b.y); }

fn less_i64(a: vec2u, b: vec2u) -> bool {
  return select(bitcast<i32>(a.y) < bitcast<i32>(b.y), a.x < b.x, a.y == b.y);
}

fn negative64(a: vec2u) -> bool { return (a.y >> 31u) == 1u; }

fn abs64(a: vec2u) -> vec2u { return select(a, neg64(a), negative64(a)); }

fn sign64(a: vec2u) -> vec2u {
  if (negative64(a)) { return vec2u(0xffffffffu, 0xffffffffu); }
  return vec2u(select(0u, 1u, any(a != vec2u(0u, 0u))), 0u);
}

fn mul_wide_u32(a: u32, b: u32) -> vec2u {
  let al = a & 0xffffu;
  let ah = a >> 16u;
  let bl = b & 0xffffu;
  let bh = b >> 16u;
  let middle = ah * bl + ((al * bl) >> 16u);
  let rest = al * bh + (middle & 0xffffu);
  return vec2u(a * b, ah * bh + (middle >> 16u) + (rest >> 16u));
}

fn mul64(a: vec2u, b: vec2u) -> vec2u {
  let low = mul_wide_u32(a.x, b.x);
  return vec2u(low.x, low.y + a.x * b.y + a.y * b.x);
}

// bit by bit; by zero gives all ones
fn div_u64(a: vec2u, b: vec2u) -> vec2u {
  var quotient = vec2u(0u, 0u);
  var rest = vec2u(0u, 0u);
  for (var n = 0u; n < 64u; n += 1u) {
    let bit = 63u - n;
    let next = (select(a.x, a.y, bit >= 32u) >> (bit % 32u)) & 1u;
    rest = vec2u((rest.x << 1u) | next, (rest.y << 1u) | (rest.x >> 31u));
    if (!less_u64(rest, b)) {
      rest = sub64(rest, b);
      quotient = vec2u(quotient.x | select(0u, 1u << (bit % 32u), bit < 32u),
                       quotient.y | select(0u, 1u << (bit % 32u), bit >= 32u));
    }
  }
  return quotient;
}

fn div_i64(a: vec2u, b: vec2u) -> vec2u {
  let quotient = div_u64(abs64(a), abs64(b));
  return select(quotient, neg64(quotient), negative64(a) != negative64(b));
}

fn pow64(a: vec2u, b: vec2u) -> vec2u {
  var result = vec2u(1u, 0u);
  var base = a;
  for (var left = b; any(left > vec2u(0u)); left = vec2u(left.x >> 1u | left.y << 31u, left.y >> 1u)) {
    if ((left.x & 1u) == 1u) { result = mul64(result, base); }
    base = mul64(base, base);
  }
  return result;
}

fn max_i64(a: vec2u, b: vec2u) -> vec2u { return select(a, b, less_i64(a, b)); }
fn min_i64(a: vec2u, b: vec2u) -> vec2u { return select(b, a, less_i64(a, b)); }
fn max_u64(a: vec2u, b: vec2u) -> vec2u { return select(a, b, less_u64(a, b)); }
fn min_u64(a: vec2u, b: vec2u) -> vec2u { return select(b, a, less_u64(a, b)); }

fn wide_i32(a: i32) -> vec2u { return vec2u(bitcast<u32>(a), bitcast<u32>(a >> 31u)); }

fn wide_f32(x: f32) -> vec2u {
  let size = trunc(abs(x));
  let high = floor(size / 4294967296.0);
  let made = vec2u(u32(size - high * 4294967296.0), u32(high));
  return select(made, neg64(made), x < 0.0);
}

fn to_f32(a: vec2u, is_signed: bool) -> f32 {
  let below = is_signed && negative64(a);
  let size = select(a, neg64(a), below);
  let made = f32(size.y) * 4294967296.0 + f32(size.x);
  return select(made, -made, below);
}
