// group     sums and extremes over the WG values that the threads of a workgroup hold
// needs     WG, a power of two; every thread of the workgroup comes here

var<workgroup> held: array<f32, WG>;

fn group_sum(t: u32, value: f32) -> f32 {
  workgroupBarrier();  // the result before may still be read
  held[t] = value;
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half) { held[t] += held[t + half]; }
  }
  workgroupBarrier();
  return held[0];
}

fn group_max(t: u32, value: f32) -> f32 {
  workgroupBarrier();  // the result before may still be read
  held[t] = value;
  for (var half = WG / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half) { held[t] = max(held[t], held[t + half]); }
  }
  workgroupBarrier();
  return held[0];
}
