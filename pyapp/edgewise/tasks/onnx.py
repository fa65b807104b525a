"""Opening an ONNX model, wherever it is.

model = await open_model("models/detect.manifest.json")    # packed: no `onnx` package
model = await open_model("detect.onnx")                    # a file on this machine's disk
model = await open_model({"detect.onnx": data})            # files that somebody dropped
outputs = await model.run({"x": image})
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import FormatError, InputError, UnsupportedError
from ..formats.onnx import OnnxModel
from ..formats.onnx_check import short, tensors_of
from ..formats.onnx_json import from_json
from ..host import current
from ..host.base import Host, WeightFile
from ..importers.onnx import check_operators
from ..runtime.model import Target
from ..runtime.onnx import Files, OnnxSession
from ..runtime.session import Progress, fetch
from ..store.manifest import Manifest
from .documents import load_structure, opened

Data = bytes | memoryview


async def open_model(
    model: str | Mapping[str, Data],
    *,
    target: Target = "auto",
    host: Host | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> OnnxSession:
    """Bring a model onto this machine's device.

    model   the address of a manifest that `edgewise pack model.onnx` wrote, a URL or a path; the
            path of an ONNX file; or files in memory by their names, one of which ends in .onnx.
    target  "webgpu", "wasm", "webnn" or "reference"; the best device of this machine unless given.

    Raises  UnsupportedError that names every operator that is not ours, before a weight is
            downloaded; FormatError, InputError, NoDeviceError, DownloadError, QuotaError,
            HashMismatchError, HostError without NumPy, or without `onnx` for an ONNX file.
    """
    host = host or current.current()
    await host.load_package("numpy")
    async with AsyncExitStack() as stack:
        if isinstance(model, str) and not urlsplit(model).path.endswith(".onnx"):
            manifest = await stack.enter_async_context(opened(host, model))
            onnx, files = await _packed(host, manifest, on_progress)
        else:
            await host.load_package("onnx")
            onnx, files = _in_memory(_read(model) if isinstance(model, str) else model)
        session = await OnnxSession.open(host, onnx, files, target=target)
        session.running = stack.pop_all()
        return session


async def _packed(
    host: Host, manifest: Manifest, on_progress: Callable[[Progress], None]
) -> tuple[OnnxModel, Files]:
    if manifest.architecture != "onnx":
        raise UnsupportedError(f"model '{manifest.name}'", need="an ONNX model",
                               got=f"architecture '{manifest.architecture}'")  # fmt: skip
    onnx = from_json(await load_structure(host, manifest))
    starts = _starts(manifest)
    _need_places(onnx, manifest, starts)
    check_operators(onnx)
    manifest = await fetch(host, manifest, on_progress)
    return onnx, Files(WeightFile(manifest.segments), starts, {})


def _need_places(onnx: OnnxModel, manifest: Manifest, starts: Mapping[str, int]) -> None:
    """Raise FormatError where the structure and the manifest do not belong together."""
    whole = sum(file.nbytes for file in manifest.files)
    for tensor in tensors_of(onnx):
        location = tensor.location
        if location is None:
            continue
        end = starts[location] + tensor.offset + tensor.nbytes if location in starts else whole + 1
        if end > whole:
            raise FormatError(f"tensor {short(tensor.name)}", got="a place outside of the files",
                              need="one in them", where=f"manifest {manifest.name}")  # fmt: skip


def _starts(manifest: Manifest) -> dict[str, int]:
    """Where the file begins that the model calls so."""
    found = manifest.config.get("locations")
    if not isinstance(found, list) or len(found) != len(manifest.files):
        raise FormatError("the manifest's config", got=f"locations {found!r:.60}",
                          need=f"{len(manifest.files)} of them",
                          where=f"manifest {manifest.name}", fix="pack it again")  # fmt: skip
    return {str(name): start for name, start in zip(found, manifest.starts, strict=True)}


def _in_memory(given: Mapping[str, Data]) -> tuple[OnnxModel, Files]:
    from ..formats.onnx_read import parse

    own = name_of_model(given)
    onnx = parse(given[own])
    check_operators(onnx)
    return onnx, gather(onnx, own, given)


def name_of_model(names: Collection[str]) -> str:
    """Which of these files is the model. Raises InputError where not exactly one can be."""
    models = [name for name in names if name.lower().endswith(".onnx")]
    if len(models) != 1:
        raise InputError("files of an ONNX model", got=", ".join(map(short, names)) or "none",
                         need="one whose name ends in .onnx, and its data")  # fmt: skip
    return models[0]


def gather(onnx: OnnxModel, own: str, given: Mapping[str, Data]) -> Files:
    """The files that `onnx` consists of, out of those in memory; `own` is the model's own.

    Raises InputError for one that is missing, FormatError for one that is too short.
    """
    files: dict[str, Data] = {"": given[own]}
    for location in {tensor.location: None for tensor in tensors_of(onnx) if tensor.location}:
        data = given.get(location, given.get(location.rsplit("/", 1)[-1]))
        if data is None:
            raise InputError("files of an ONNX model", got=", ".join(map(short, given)),
                             need=f"{short(location)}, which holds its weights")  # fmt: skip
        files[location] = data
    for tensor in tensors_of(onnx):
        if tensor.location and tensor.offset + tensor.nbytes > len(files[tensor.location]):
            raise FormatError(f"external data of {short(tensor.name)}",
                              got=f"{len(files[tensor.location])} bytes",
                              need=str(tensor.offset + tensor.nbytes))  # fmt: skip
    return Files.joined(files)


def _read(path: str) -> dict[str, Data]:
    """A file of this machine's disk and its data, checked as `edgewise pack` checks them."""
    if urlsplit(path).scheme in ("http", "https", "hf"):
        raise UnsupportedError("an ONNX file by its address", got=f"{path:.80}",
                               need="its manifest, or a file of this machine's disk",
                               fix="pack it with `edgewise pack`")  # fmt: skip
    from ..store.onnx_files import open_onnx

    found = open_onnx(Path(path))
    return {location or "model.onnx": each.read_bytes() for location, each in found.paths.items()}
