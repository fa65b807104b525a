// pairs_factor  a plain tensor's factors into (scale, minimum) pairs, minimum = scale * factor
// shapes    raw [N] -> pairs [N, 2]
// dtypes    raw uint4 where CODES, taken negative, else as pairs: f32 where WIDE, else f16
// bindings  0 raw read, 1 pairs read_write
// consts    N: pairs
// dispatch  [ceil(N / 64), 1, 1], folded into y where x is over the limit
// needs     flags CODES, WIDE; HELD: the scales are there, else the factor waits for them
// source    onnxruntime MatMulNBits: factor = -zero_point

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> pairs: array<u32>;

override N: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = id.x + id.y * n.x * 64u;
  if (i >= N) { return; }  // the last workgroup
#if CODES
  let factor = -f32((raw[i / 8u] >> (i % 8u * 4u)) & 15u);
#else
#if WIDE
  let factor = bitcast<f32>(raw[i]);
#else
  let factor = unpack2x16float(raw[i / 2u] >> (i % 2u * 16u)).x;
#endif
#endif
#if WIDE
#if HELD
  pairs[2u * i + 1u] = bitcast<u32>(bitcast<f32>(pairs[2u * i]) * factor);
#else
  pairs[2u * i + 1u] = bitcast<u32>(factor);
#endif
#else
#if HELD
  let scale = unpack2x16float(pairs[i]).x;
#else
  let scale = 1.0;
#endif
  pairs[i] = (pairs[i] & 0xffffu) | pack2x16float(vec2f(0, scale * factor));
#endif
}
