"""ONNX operators that are not done, and why: for error messages and for docs/onnx.md."""

from __future__ import annotations

SEQUENCE = "sequences and optionals are no tensors, and WebNN has tensors alone"
STRING = "strings are no tensors of numbers"
RANDOM = "WebNN has no random numbers: draw them outside and give them as an input"
TREES = "classical machine learning: trees, maps and features are no tensor operators"
TRAINING = "training: models are run here, not trained"

_NAMES = {
    SEQUENCE: (
        "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement",
        "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
        "SequenceLength", "SequenceMap", "SplitToSequence",
    ),
    STRING: (
        "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer",
    ),
    RANDOM: (
        "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
        "RandomUniformLike",
    ),
    "pictures are decoded before a model, by the browser or by Pillow": ("ImageDecoder",),
    "no exporter writes it any more: RoiAlign took its place": ("MaxRoiPool",),
}  # fmt: skip
CAUSES = {name: cause for cause, names in _NAMES.items() for name in names}


def cause(domain: str, name: str) -> str | None:
    """Why an operator is not done; None where nobody has thought of it."""
    if domain == "ai.onnx.ml":
        return TREES
    if "training" in domain:
        return TRAINING
    return CAUSES.get(name) if domain == "" else None
