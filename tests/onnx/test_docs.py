"""docs/onnx.md says what the code does: its tables are those that the tool would write."""

from __future__ import annotations

from tools.onnx_docs import PAGE, page


def test_tables_are_current() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run python tools/onnx_docs.py"
