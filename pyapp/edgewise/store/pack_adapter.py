"""A PEFT adapter's folder, described: which matrices of which base its tensors are for.

    my-adapter/
      adapter_config.json  adapter_model.safetensors
      README.md                                          its licence

The weights stay where they are, and the base is not read: its manifest says enough.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError, UnsupportedError
from ..formats import peft
from ..importers.llama_adapter import additions
from .adapter import TASK, AdapterConfig, tensors_id
from .base import Segment
from .cut import cut
from .described import Described, safe
from .manifest import TEXT_NBYTES, Demands, FileRef, Manifest, TensorRef
from .pack_folder import DOCUMENT_NBYTES, licence, read_text
from .safetensors_files import open_file

WEIGHTS = "adapter_model.safetensors"
ADDITIONS = {"llama": additions}


def is_adapter(path: Path) -> bool:
    """Whether a folder is an adapter's."""
    return (path / peft.DOCUMENT).is_file()


def describe_adapter(folder: Path, base: Path | None) -> Described:
    """The adapter of a folder, named as the folder is.

    base  the manifest of the model that it adapts.

    Raises   InputError without a base, or for one whose hashes are not known; FormatError for a
             document or a weight file that is missing or broken; UnsupportedError for a base of
             another architecture and for all that an adapter has beside LoRA's matrices;
             ShapeError for matrices that do not fit the base.
    """
    model = _base(folder, base)
    lora = peft.parse(read_text(folder / peft.DOCUMENT, DOCUMENT_NBYTES))
    header, nbytes = open_file(folder / WEIGHTS)
    found = ADDITIONS[model.architecture](lora, header.tensors, model.config)
    lengths = cut([(t.offset, t.nbytes) for t in header.tensors.values()], nbytes)
    name = safe(folder.resolve().name).lower() or TASK
    used = sum(tensor.nbytes for tensor in header.tensors.values())
    elements = used // (4 if next(iter(header.tensors.values())).type == "F32" else 2)
    manifest = Manifest(
        name=name,
        task=TASK,
        architecture=model.architecture,
        license=licence(folder / "README.md"),
        file=FileRef(f"{name}.safetensors", "safetensors", None, nbytes),
        segments=tuple(Segment(None, length) for length in lengths),
        tensors={
            key: TensorRef(each.type, each.shape, each.offset, each.nbytes)
            for key, each in header.tensors.items()
        },
        config=AdapterConfig(model.name, tensors_id(model) or "", found).to_dict(),
        tokenizer=None,
        chat=None,
        demands=Demands(used, 0, 2 * elements, used, model.demands.context),
    )
    return Described(manifest, folder / WEIGHTS, None)


def _base(folder: Path, path: Path | None) -> Manifest:
    """The base's manifest, if an adapter can be for it."""
    if path is None:
        raise InputError(f"the adapter '{folder.name}'", got="no base",
                         need="the manifest of the model that it was trained on",
                         fix="add --base MANIFEST")  # fmt: skip
    base = Manifest.from_json(read_text(path, TEXT_NBYTES))
    if base.architecture not in ADDITIONS:
        raise UnsupportedError(
            f"adapters of '{base.name}'", got=f"architecture '{base.architecture}'",
            need=f"one of {', '.join(ADDITIONS)}",
        )  # fmt: skip
    if tensors_id(base) is None:
        raise InputError(f"the base '{base.name}'", got="a manifest without hashes",
                         need="one with them", fix="pack the base first")  # fmt: skip
    return base
