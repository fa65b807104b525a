// unpack_f32   y = x, to rows that may interleave
// shapes    raw 4 bytes an element -> y f32 [N, K]
// dtypes    f32 to f32, bit for bit
// bindings  0 raw read, 1 y read_write
// consts    ROWS, K: u32, the source's shape (K any); source row r goes to row
//           r * ROW_STRIDE + ROW_OFFSET of the destination, so that tensors can interleave
// dispatch  [ceil(ROWS * K / 64), 1, 1], folded into y where x is over the limit
// needs     nothing; raw, like every buffer, ends on a multiple of 4 bytes
// source    IEEE 754

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // f32 bits: NaN stays as it is

override ROWS: u32;
override K: u32;
override ROW_STRIDE: u32 = 1u;
override ROW_OFFSET: u32 = 0u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
    let i = id.x + id.y * n.x * 64u;
    if i >= ROWS * K {  // the last workgroups are not full
        return;
    }
    let to = (i / K * ROW_STRIDE + ROW_OFFSET) * K + i % K;
    y[to] = raw[i];
}
