// unpack_words  words as they are in the file
// bindings  raw: staging, to
// dispatch  ceil(words / 64), in rows

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> to: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = id.x + id.y * n.x * 64u;
  if (i < arrayLength(&to)) { to[i] = raw[i]; }  // the last workgroup
}
