"""Bytes to plain data: GGUF, quantised blocks, tokenizers. Knows no graph; imports no NumPy."""
