// gemm_operands  what the gemm kernels multiply: left [M, K] by right [K, N] of a batch
// needs     operands a, b (and bias with BIAS), output put; sizes M, N, K
//           matrices: Z1 Z2 Z3, the inner batch axes, and A_AXES, B_AXES: which ones a and b have
//           CONV: a is the filter [G * M, C, KH, KW] with K = C * KH * KW, b the image
//           [B, G * C, H, W], N = OH * OW; batch z is (image, group), strides SH SW,
//           dilations DH DW, padding PT PL in front

struct Batch { a: u32, b: u32 }

#if CONV
fn batch(z: u32) -> Batch {
  return Batch(z % G * M() * K(), z * C * H() * W());
}

fn right(at: Batch, k: u32, n: u32) -> f32 {
  // In front of the image both wrap around to huge numbers.
  let h = n / OW() * SH + k / KW % KH * DH - PT;
  let w = n % OW() * SW + k % KW * DW - PL;
  if (h >= H() || w >= W()) { return 0.0; }
  return f32(b(at.b + (k / (KH * KW) * H() + h) * W() + w));
}
#else
fn fold(z: u32, axes: vec4<bool>) -> u32 {
  let sizes = vec4u(1u, Z1(), Z2(), Z3());
  let digits = vec4u(z / sizes.w / sizes.z / sizes.y, z / sizes.w / sizes.z % sizes.y,
    z / sizes.w % sizes.z, z % sizes.w);
  var at = 0u;
  for (var i = 0u; i < 4u; i++) {
    if (axes[i]) { at = at * sizes[i] + digits[i]; }
  }
  return at;
}

fn batch(z: u32) -> Batch {
  return Batch(fold(z, A_AXES) * M() * K(), fold(z, B_AXES) * K() * N());
}

fn right(at: Batch, k: u32, n: u32) -> f32 { return f32(b(at.b + k * N() + n)); }
#endif

fn left(at: Batch, m: u32, k: u32) -> f32 { return f32(a(at.a + m * K() + k)); }

fn result(z: u32, m: u32, n: u32, value: f32) {
#if BIAS
  put((z * M() + m) * N() + n, T_put(value + f32(bias(z % G * M() + m))));
#else
  put((z * M() + m) * N() + n, T_put(value));
#endif
}
