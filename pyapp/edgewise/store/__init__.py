"""Objects named by their SHA-256, the manifests that list them, and how they get here.

A file is a list of segments (`cut`), a manifest says which (`manifest`), `pack` writes one for
a local file, `download` fetches what is missing into any `ObjectStore` (`base`). `folder` is
the store of CPython; the browser's lives in `host/browser/` over `shims/store.js`.
Nothing here imports `js`, NumPy or a graph.
"""
