"""The host of a page's worker: Pyodide over the shims.

The shims do the work on bytes and devices; this turns their plain data into Edgewise's types and
their errors into Edgewise's classes. Weight bytes of a stored file never enter Python: a device
gets a JavaScript function that reads them from the store. Each proxy made here is destroyed where
it was made. This is the only package that imports `js` and `pyodide`.
"""

from .host import BrowserHost
from .window import Environment, PageFile, Window

__all__ = ["BrowserHost", "Environment", "PageFile", "Window"]
