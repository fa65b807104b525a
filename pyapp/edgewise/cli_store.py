"""`edgewise store …`: the models on this machine, what they take, and what may go.

MODEL is the address of a manifest, or a model's name if only one is called so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .hub.words import megabytes

if TYPE_CHECKING:
    from .store.folder import Folder
    from .store.library import Held

T = TypeVar("T")
OUT = Console(highlight=False)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def store() -> None:
    """The models of this machine's store."""


@store.command()
def ls() -> None:
    """List models: the one used longest ago, which goes first, is the first."""
    from .store import library

    found = _run(library.models(_folder()))
    table = Table()
    for column in ("model", "alone", "shared", "last used", "state", "address"):
        table.add_column(column, overflow="fold", justify=_side(column))
    for held in found:
        used = datetime.fromtimestamp(held.record.used_s).strftime("%Y-%m-%d %H:%M")
        alone, shared = megabytes(held.alone_nbytes), megabytes(held.shared_nbytes)
        cells = (held.record.name, alone, shared, used, _state(held), held.record.url)
        table.add_row(*map(Text, cells))
    if found:
        OUT.print(table)
        OUT.print("alone: what removing the model frees; shared: what other models need as well")
    else:
        OUT.print(f"No models in {_folder().root}")


@store.command()
def verify() -> None:
    """Read everything, and drop what is damaged: opening a model fetches it again."""
    from .store import library

    found = _run(library.verify(_folder()))
    OUT.print(f"{found.objects} objects and {found.documents} documents read, "
              f"{len(found.dropped)} damaged and dropped")  # fmt: skip
    _names("models to be fetched again in part", found.hurt)


@store.command()
def gc() -> None:
    """Remove what belongs to no model."""
    from .store import library

    found = _run(library.gc(_folder()))
    OUT.print(f"{found.objects} objects and {found.documents} documents removed")
    if found.busy:
        OUT.print(Text(f"'{found.busy}' is being downloaded for the first time: until then objects "
                       "stay, since nobody knows yet which are its own"))  # fmt: skip


@store.command()
@click.argument("model")
def pin(model: str) -> None:
    """Keep MODEL from eviction."""
    from .store.records import pin

    _run(pin(_folder(), model))


@store.command()
@click.argument("model")
def unpin(model: str) -> None:
    """Let MODEL go when room is needed."""
    from .store.records import pin

    _run(pin(_folder(), model, pinned=False))


@store.command()
@click.argument("model")
def evict(model: str) -> None:
    """Remove MODEL; what other models need stays."""
    from .store import library

    OUT.print(Text(f"{_run(library.evict(_folder(), model)).name} removed"))


@store.command("export")
@click.argument("model")
@click.argument("file", type=FILE)
def export_(model: str, file: Path) -> None:
    """Write MODEL as one FILE, a tar."""
    from .store.archive import export_file

    _run(export_file(_folder(), model, file))
    OUT.print(Text(f"{file}: {megabytes(file.stat().st_size)}"))


@store.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(file: Path) -> None:
    """Bring the model that was exported to FILE; every byte of it is verified."""
    from .store.archive import import_file

    record = _run(import_file(_folder(), file))
    OUT.print(Text(f"{record.name}: {record.url}"))


def _folder() -> Folder:
    from .host.cpython import default_store
    from .store.folder import Folder

    return Folder(default_store())


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _state(held: Held) -> str:
    words = {
        "running": held.running,
        "pinned": held.record.pinned,
        "not whole": held.missing > 0,
    }
    return ", ".join(word for word, is_so in words.items() if is_so)


def _side(column: str) -> Any:
    return "right" if column in ("alone", "shared") else "left"


def _names(what: str, names: Sequence[str]) -> None:
    if names:
        OUT.print(Text(f"{what}: {', '.join(names)}"))
