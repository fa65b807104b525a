"""WebGPU: a graph becomes WGSL kernels, buffers and steps."""
