// gemm_result  what becomes of a sum: element (m, n) of batch z
// needs     output put, with BIAS operand bias; sizes M, N; with BIAS, batch z is (image, group of
//           G), and bias has M elements a group

fn result(z: u32, m: u32, n: u32, value: f32) {
#if BIAS
  put((z * M() + m) * N() + n, value + bias(z % G * M() + m));
#else
  put((z * M() + m) * N() + n, value);
#endif
}
