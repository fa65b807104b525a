// gemm_operands  what the gemm kernels multiply: left [M, K] by right [K, N] of a batch
// needs     operands a, b; sizes M, N, K
//           matrices: functions a_batch(z), b_batch(z): which of its matrices batch z takes
//           CONV: a is the filter [G * M, C, KH, KW] with K = C * KH * KW, b the images
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
  return b(at.b + (k / (KH * KW) * H() + h) * W() + w);
}
#else
fn batch(z: u32) -> Batch {
  return Batch(a_batch(z) * M() * K(), b_batch(z) * K() * N());
}

fn right(at: Batch, k: u32, n: u32) -> f32 { return b(at.b + k * N() + n); }
#endif

fn left(at: Batch, m: u32, k: u32) -> f32 { return a(at.a + m * K() + k); }
