"""@huggingface/tokenizers through `shims/tokenizer.js`."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from pyodide.ffi import JsException, to_js

from .bridge import error_of


class BrowserTokenizer:
    """@huggingface/tokenizers through shims/tokenizer.js."""

    def __init__(self, shim: Any, tokenizer_json: str) -> None:
        self._shim = shim
        try:
            self._handle = shim.load(tokenizer_json)
        except JsException as error:
            raise error_of(error) from None

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """The ids of `text`, whole; special tokens in it are recognised, others added if asked."""
        return list(self._shim.encode(self._handle, text, add_special_tokens).to_py())

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return str(self._shim.decode(self._handle, to_js(array("i", ids))))

    def close(self) -> None:
        """Free its tables."""
        self._shim.close(self._handle)
