"""Graph to something that runs: the NumPy reference, WebGPU."""
