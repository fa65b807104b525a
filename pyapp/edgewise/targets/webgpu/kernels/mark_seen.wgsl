// mark_seen seen[ids[s]] = 1
// shapes    ids [S] i32, seen [V] u32, in place
// bindings  ids, seen
// dispatch  ceil(S / 64)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= rows()) { return; }  // the last workgroup
  seen[u32(ids[id.x])] = 1u;
}
