"""What every browser may have by itself, as an index: which of it is there is asked of the host."""

from __future__ import annotations

from .index import Entry, Index

BUILTINS = Index((
    Entry("browser-language-model", "text-generation", builtin="LanguageModel"),
    Entry("browser-translator", "translation", builtin="Translator"),
    Entry("browser-summarizer", "summarization", builtin="Summarizer"),
    Entry("browser-language-detector", "language-detection", builtin="LanguageDetector"),
))  # fmt: skip
