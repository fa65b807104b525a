"""The only place that touches a machine: protocols (`base`) and one implementation a machine.

`browser` is for a page's worker and alone imports `js` and `pyodide`; `cpython` is for a process.
A host is chosen once and passed in, so everything above runs the same on both.
"""
