"""What Python says to the page: updates that are collected and sent together.

An update is [target, operation, value] as shims/page.js applies it; a target is an element's id,
or "id/part" for its descendant with that data-part. It knows neither the browser nor the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

Update = tuple[str, str, object]


class View:
    """The page as a place to write to; one message for all that one turn of the loop wrote."""

    def __init__(self, post: Callable[[Sequence[Update]], None]) -> None:
        self._post = post
        self._batch: list[Update] = []

    def text(self, target: str, value: str) -> None:
        """Replace the content by text."""
        self._add(target, "text", value)

    def append(self, target: str, value: str) -> None:
        """Add text at the end."""
        self._add(target, "append", value)

    def attribute(self, target: str, name: str, value: str | None) -> None:
        """Set an attribute, or remove it with None."""
        self._add(target, f"@{name}", value)

    def property(self, target: str, name: str, value: object) -> None:
        """Set a DOM property such as `hidden` or `value`."""
        self._add(target, f".{name}", value)

    def child(
        self, target: str, template: str, parts: dict[str, str], attributes: dict[str, str]
    ) -> None:
        """Add a copy of a <template> with texts in its parts and attributes on its root."""
        self._add(target, "child", {"template": template, "parts": parts, "set": attributes})

    def focus(self, target: str) -> None:
        """Move the keyboard's focus."""
        self._add(target, "focus", None)

    def reveal(self, target: str) -> None:
        """Bring an element into sight."""
        self._add(target, "reveal", None)

    def _add(self, target: str, operation: str, value: object) -> None:
        if not self._batch:
            asyncio.get_running_loop().call_soon(self._flush)
        self._batch.append((target, operation, value))

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        self._post(batch)
