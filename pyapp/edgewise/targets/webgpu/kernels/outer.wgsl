// outer     sums of 4 by 4 products in registers: c[i][j] += u[i] v[j]
// source    matrices and vectors instead of arrays, which compilers keep in memory unless they
//           unroll the loops over them: two to five times as slow on lavapipe and SwiftShader

fn add_outer(c: mat4x4f, u: vec4f, v: vec4f) -> mat4x4f {
  return mat4x4f(c[0] + u.x * v, c[1] + u.y * v, c[2] + u.z * v, c[3] + u.w * v);
}
