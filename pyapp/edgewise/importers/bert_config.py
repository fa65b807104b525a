"""What makes one BERT-family encoder: hyperparameters, and the tensors that they call for.

`config_from_files` reads the JSON documents of a Hugging Face folder; what it gives travels in
manifests and is checked each time it comes back (`parse_config`). Whatever is wrong is named in
one error. Must not import NumPy.

Source: transformers `BertConfig`, `modeling_bert.py`; sentence-transformers `Pooling`, `Normalize`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import FormatError, UnsupportedError
from .tensors import Tensor, check_shapes, some

ARCHITECTURES = ("bert",)
#: Encoders of the family that differ in embeddings or attention and have no importer.
RELATIVES = ("albert", "distilbert", "mpnet", "roberta", "xlm-roberta")
POOLINGS = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens",
            "mean_sqrt_len": "mean_sqrt_len_tokens"}  # fmt: skip
ACTIVATIONS = ("gelu", "relu")
WEIGHT_TYPES = ("F32", "F16", "BF16")
SCALE = "_scale"  # after the name of an 8-bit matrix: its rows' scales, as compressed-tensors does
PREFIXES = ("", "bert.")  # models with a head keep their encoder under a name
WORDS = "embeddings.word_embeddings.weight"
MAX_LAYERS = 1000

# field: key of config.json
_KEYS = {
    "vocab": "vocab_size", "hidden": "hidden_size", "layers": "num_hidden_layers",
    "heads": "num_attention_heads", "ffn": "intermediate_size",
    "positions": "max_position_embeddings", "types": "type_vocab_size",
    "activation": "hidden_act", "norm_eps": "layer_norm_eps",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BertConfig:
    """Hyperparameters, sizes in elements.

    positions   tokens that have a position embedding; max_tokens those that texts are cut to.
    types       rows of the token type embedding.
    pooling     how token vectors become one (a key of POOLINGS); normalize: scaled to length 1.
    prefix      what stands before every tensor's name.
    """

    vocab: int
    hidden: int
    layers: int
    heads: int
    ffn: int
    positions: int
    types: int
    activation: str
    norm_eps: float
    max_tokens: int
    pooling: str
    normalize: bool
    prefix: str

    def to_dict(self) -> dict[str, Any]:
        """As manifests hold it."""
        return {"architecture": "bert", **asdict(self)}


def parse_config(config: Mapping[str, object]) -> BertConfig:
    """The inverse of `to_dict`.

    Raises   UnsupportedError for another architecture, activation or pooling; FormatError naming
             every field that is missing, of the wrong type or out of range.
    """
    _check_architecture(config.get("architecture"), "config field 'architecture'")
    kinds = {field.name: str(field.type) for field in fields(BertConfig)}
    _check_values("bert config", {name: config.get(name) for name in kinds}, kinds)
    values: dict[str, Any] = {name: config[name] for name in kinds}
    # JSON written by JavaScript has 1 for 1.0.
    parsed = BertConfig(**values | {"norm_eps": float(values["norm_eps"])})
    _check_choice("activation of a bert model", parsed.activation, ACTIVATIONS)
    _check_choice("pooling of a bert model", parsed.pooling, tuple(POOLINGS))
    if parsed.hidden % parsed.heads:
        raise FormatError("bert config", got=f"hidden {parsed.hidden}, {parsed.heads} heads",
                          need="heads of one size")  # fmt: skip
    if parsed.max_tokens > parsed.positions:
        raise FormatError("bert config", got=f"max_tokens {parsed.max_tokens}",
                          need=f"at most the {parsed.positions} positions")  # fmt: skip
    return parsed


def config_from_files(
    files: Mapping[str, Mapping[str, Any]], tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    """The config of a Hugging Face folder, from its JSON documents by path and its tensors.

    files    config.json, and those of a sentence-transformers model that are there:
             sentence_bert_config.json, N_Pooling/config.json, modules.json. Without them the
             vector of a text is the mean of its tokens', as it is.

    Raises   UnsupportedError for another architecture, or what the graph has no place for;
             FormatError for keys or tensors that are missing or wrong; ShapeError for tensors of
             another shape than the keys say.
    """
    main = files.get("config.json")
    if main is None:
        raise FormatError("a Hugging Face folder", got="no config.json", need="config.json")
    _check_architecture(main.get("model_type"), "config.json 'model_type'")
    kinds = {field.name: str(field.type) for field in fields(BertConfig)}
    named = {field: main.get(key) for field, key in _KEYS.items()}
    _check_values("config.json", named, kinds, _KEYS)
    _check_features(main)
    positions = int(main["max_position_embeddings"])
    limit = files.get("sentence_bert_config.json", {}).get("max_seq_length")
    config = parse_config({
        "architecture": "bert", **named,
        "max_tokens": min(limit, positions) if isinstance(limit, int) else positions,
        "pooling": _pooling(files),
        "normalize": any(kind == "Normalize" for kind, _ in _modules(files)),
        "prefix": _prefix(tensors),
    })  # fmt: skip
    check_tensors(config, tensors)
    return config.to_dict()


def check_tensors(config: BertConfig, tensors: Mapping[str, Tensor]) -> None:
    """Raise unless `tensors` hold what `config` calls for, in types that the graph takes.

    A head, such as BERT's pooler, is no part of the encoder and may be there.
    """
    shapes = tensor_shapes(config) | scale_shapes(config, tensors)
    check_shapes("bert", tensors, shapes, config.layers)
    in_8_bits = {name.removesuffix(SCALE) for name in scale_shapes(config, tensors)}
    inside = (f"{config.prefix}encoder.", f"{config.prefix}embeddings.")
    known = {*shapes, f"{config.prefix}embeddings.position_ids"}  # 0, 1, 2 … in older files
    extra = [name for name in tensors if name.startswith(inside) and name not in known]
    if extra:
        raise UnsupportedError("tensors of a bert model", got=some(extra),
                               need="only tensors that a plain BERT computes with")  # fmt: skip
    untaken = [
        f"{name} {tensors[name].type}"
        for name in shapes
        if (name not in in_8_bits and tensors[name].type not in WEIGHT_TYPES)
        or (name.endswith(SCALE) and tensors[name].type != "F32")
    ]  # fmt: skip
    if untaken:
        raise UnsupportedError("weight types of a bert model", got=some(untaken),
                               need="one of " + ", ".join(WEIGHT_TYPES))  # fmt: skip


def tensor_names(config: Mapping[str, object], tensors: Mapping[str, Tensor]) -> list[str]:
    """The tensors that a graph of this config reads."""
    parsed = parse_config(config)
    return [*tensor_shapes(parsed), *scale_shapes(parsed, tensors)]


def matrix_names(config: Mapping[str, object]) -> list[str]:
    """The matrices that may have 8 bits and a scale for each row: of layers, and of words."""
    return _matrices(parse_config(config))


def _matrices(config: BertConfig) -> list[str]:
    shapes, layers = tensor_shapes(config), f"{config.prefix}encoder."
    in_layers = [name for name, shape in shapes.items() if name.startswith(layers) and shape[1:]]
    return [config.prefix + WORDS, *in_layers]


def scale_shapes(config: BertConfig, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the scales that the 8-bit matrices among `tensors` want."""
    found = [name for name in _matrices(config) if name in tensors and tensors[name].type == "I8"]
    return {name + SCALE: (*tensors[name].shape[:1], 1) for name in found}


def tensor_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the encoder's tensors; matrices are [out, in]."""
    hidden, ffn = config.hidden, config.ffn
    shapes: dict[str, tuple[int, ...]] = {
        WORDS: (config.vocab, hidden),
        "embeddings.position_embeddings.weight": (config.positions, hidden),
        "embeddings.token_type_embeddings.weight": (config.types, hidden),
    }
    shapes |= _pair("embeddings.LayerNorm", hidden)
    for index in range(config.layers):
        layer = f"encoder.layer.{index}"
        for name in ("query", "key", "value"):
            shapes |= _pair(f"{layer}.attention.self.{name}", hidden, hidden)
        shapes |= _pair(f"{layer}.attention.output.dense", hidden, hidden)
        shapes |= _pair(f"{layer}.attention.output.LayerNorm", hidden)
        shapes |= _pair(f"{layer}.intermediate.dense", ffn, hidden)
        shapes |= _pair(f"{layer}.output.dense", hidden, ffn)
        shapes |= _pair(f"{layer}.output.LayerNorm", hidden)
    return {config.prefix + name: shape for name, shape in shapes.items()}


def _pair(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _prefix(tensors: Iterable[str]) -> str:
    for prefix in PREFIXES:
        if prefix + WORDS in tensors:
            return prefix
    raise FormatError("tensors of a bert model", got="no such tensor",
                      need=" or ".join(prefix + WORDS for prefix in PREFIXES))  # fmt: skip


def _modules(files: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Class and folder of each stage of a sentence-transformers model; none for a bare encoder."""
    listed = files.get("modules.json", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise FormatError("modules.json", got=f"{listed!r:.40}", need="a list of objects")
    modules = [(str(m.get("type", "")).rsplit(".", 1)[-1], str(m.get("path", ""))) for m in listed]
    kinds = [kind for kind, _ in modules]
    chains = [[], ["Transformer"], ["Transformer", "Pooling"],
              ["Transformer", "Pooling", "Normalize"]]  # fmt: skip
    if kinds not in chains:
        raise UnsupportedError("modules of a sentence-transformers model", got=", ".join(kinds),
                               need=", ".join(chains[-1]), where="modules.json")  # fmt: skip
    return modules


def _pooling(files: Mapping[str, Mapping[str, Any]]) -> str:
    """The one way of pooling that is on."""
    folders = [folder for kind, folder in _modules(files) if kind == "Pooling"]
    if not folders:
        return "mean"
    path = f"{folders[0]}/config.json"
    given = files.get(path)
    if given is None:
        raise FormatError("a sentence-transformers model", got=f"no {path}", need=path)
    wanted = [key for key, value in given.items() if key.startswith("pooling_mode_") and value]
    names = {f"pooling_mode_{key}": name for name, key in POOLINGS.items()}
    if len(wanted) != 1 or wanted[0] not in names:
        raise UnsupportedError("pooling of a sentence-transformers model",
                               got=", ".join(wanted) or "none", need="one of " + ", ".join(names),
                               where=path)  # fmt: skip
    return names[wanted[0]]


def _check_architecture(found: object, what: str) -> None:
    if not isinstance(found, str):
        raise FormatError(what, got=repr(found), need="the name of an architecture")
    if found not in ARCHITECTURES:
        relative = " (of its family, but built otherwise)" if found in RELATIVES else ""
        raise UnsupportedError("model architecture", got=f"{found!r:.40}{relative}",
                               need="one of " + ", ".join(ARCHITECTURES), where=what)  # fmt: skip


def _check_choice(what: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise UnsupportedError(what, got=f"{found!r:.40}", need="one of " + ", ".join(known))


def _check_features(main: Mapping[str, Any]) -> None:
    for key, plain in (
        ("position_embedding_type", "absolute"), ("is_decoder", False),
        ("add_cross_attention", False),
    ):  # fmt: skip
        if main.get(key, plain) != plain:
            raise UnsupportedError("feature of a bert model", got=f"{key} = {main[key]!r:.40}",
                                   need=f"{plain!r} or no such key")  # fmt: skip


_NEED = {
    "int": "an integer from 0 to 2^31 - 1", "float": "a number from 1e-30 to 1",
    "bool": "true or false", "str": "a text",
}  # fmt: skip


def _check_values(
    what: str, values: Mapping[str, object], kinds: Mapping[str, str],
    keys: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Raise FormatError for all fields that are missing or do not fit; `keys` are names to show."""
    shown = keys or {name: name for name in values}
    missing = [shown[name] for name, value in values.items() if value is None]
    if missing:
        raise FormatError(what, got="no " + ", ".join(missing), need="these keys")
    wrong = [
        (f"{shown[name]} = {value!r:.40}", f"{shown[name]}: {_NEED[kinds[name]]}")
        for name, value in values.items()
        if not _fits(name, value, kinds[name])
    ]
    if wrong:
        got, need = zip(*wrong, strict=True)
        raise FormatError(what, got=", ".join(got), need=", ".join(need))


def _fits(name: str, value: object, kind: str) -> bool:
    if kind == "str":
        return isinstance(value, str)
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    if kind == "float":
        return isinstance(value, int | float) and 1e-30 <= value <= 1
    least = 0 if name == "layers" else 1
    most = MAX_LAYERS if name == "layers" else 2**31 - 1
    return isinstance(value, int) and least <= value <= most
