// row_sums  sums and largest values over the threads of a row: one thread's own without GROUP

#if GROUP
#include group.wgsl
#else
fn group_sum(t: u32, value: f32) -> f32 { return value; }
fn group_max(t: u32, value: f32) -> f32 { return value; }
#endif
