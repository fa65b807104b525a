"""The host of this process, for code that is not handed one.

A page's worker names its own with `use` when it starts; CPython makes one when it is first asked
for. So the same script runs in both.
"""

from __future__ import annotations

import sys

from ..errors import HostError
from .base import Host

_named: list[Host] = []


def use(host: Host) -> None:
    """`host` is what `current` gives from now on."""
    _named[:] = [host]


def current() -> Host:
    """The host named by `use`; in CPython, else, this machine's devices and the user's own store.

    Raises HostError in a page whose worker named none.
    """
    if not _named:
        if sys.platform == "emscripten":
            raise HostError(
                "no host", got="a page that named none", need="a call of edgewise.host.current.use",
                fix="call use(BrowserHost(shims)) where the worker starts",
            )  # fmt: skip
        from .cpython import CPythonHost

        use(CPythonHost())
    return _named[0]
