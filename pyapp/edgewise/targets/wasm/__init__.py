"""Plans for kernels in WebAssembly (shims/wasm/*.c), for any CPU, in a page and in CPython."""
