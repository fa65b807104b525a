// pairs_scale   a plain tensor's scales into (scale, minimum) pairs, minimum = scale * factor
// shapes    raw [N] -> pairs [N, 2]
// dtypes    f32 where WIDE, else f16, two to a word
// bindings  0 raw read, 1 pairs read_write
// consts    N: pairs; FACTOR: the factor unless HELD
// dispatch  [ceil(N / 64), 1, 1], folded into y where x is over the limit
// needs     flags WIDE; HELD: the factors lie where the minima go; LATER: they come after this
// source    onnxruntime MatMulNBits: factor = -zero_point

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> pairs: array<u32>;

override N: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = id.x + id.y * n.x * 64u;
  if (i >= N) { return; }  // the last workgroup
#if WIDE
  let scale = bitcast<f32>(raw[i]);
  pairs[2u * i] = raw[i];
#if LATER
#else
#if HELD
  let factor = bitcast<f32>(pairs[2u * i + 1u]);
#else
  let factor = FACTOR;
#endif
  pairs[2u * i + 1u] = bitcast<u32>(scale * factor);
#endif
#else
  let half = (raw[i / 2u] >> (i % 2u * 16u)) & 0xffffu;
#if LATER
  pairs[i] = half;
#else
#if HELD
  let factor = unpack2x16float(pairs[i]).y;
#else
  let factor = FACTOR;
#endif
  pairs[i] = half | pack2x16float(vec2f(0, unpack2x16float(half).x * factor));
#endif
#endif
}
