"""`edgewise hub …`: which model does a task on this machine and why, and how an index is written.

INDEX is the address or the path of an index.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from .errors import FormatError

if TYPE_CHECKING:
    from .hub.index import Index
    from .store.manifest import Manifest

OUT, ERR = Console(highlight=False), Console(stderr=True, highlight=False)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def hub() -> None:
    """Model indices: what does a task, and why."""


@hub.command()
@click.argument("task")
@click.option("-i", "--index", "indices", multiple=True, required=True,
              help="An index; of several the first is believed.")  # fmt: skip
@click.option("--language", "languages", multiple=True, help="As en; of a translation: from, to.")
@click.option("--version", default="", help="As '>=1.3,<2'.")
@click.option("--prefer", multiple=True, help="A name, format or quantisation; built-in, server.")
@click.option("--max-bytes", type=click.IntRange(0), help="The most to download.")
@click.option("--licence", "licences", multiple=True, help="One that will do.")
@click.option("--local", is_flag=True, help="Send nothing to a server.")
def resolve(task: str, indices: Sequence[str], licences: Sequence[str], **wishes: Any) -> None:
    """Rank what does TASK on this machine, with the reason of each."""
    from .host.cpython import CPythonHost
    from .router.find import find

    found = asyncio.run(find(CPythonHost(), task, indices, licences=licences or None, **wishes))
    for conflict in found.conflicts:
        ERR.print(Text(str(conflict), style="yellow"), soft_wrap=True)
    for choice in found.choices:
        name = Text(choice.candidate.name, style="bold" if choice.accepted else "dim")
        OUT.print(name.append(f"  {choice.reason}", style="not bold"), soft_wrap=True)
    if not found.choices:
        OUT.print(Text(f"No model for {task!r}"))


@hub.command()
@click.argument("manifests", nargs=-1, type=FILE)
@click.option("-i", "--index", "path", type=FILE, required=True, help="Made if it is not there.")
@click.option("--name", help="The manifest's own by default.")
@click.option("--task", help="The manifest's own by default.")
@click.option("--language", "languages", multiple=True, help="That it knows, as en.")
@click.option("--pair", "pairs", multiple=True, type=(str, str), help="From and to.")
@click.option("--version", help="A semantic version.")
@click.option("--licence", help="An SPDX identifier; the manifest's own by default.")
@click.option("--quality", type=click.FloatRange(0, 1), help="Comparable within the task.")
@click.option("--need", "needs", multiple=True, help="As webgpu or shader-f16.")
@click.option("--component", is_flag=True, help="MANIFESTS are the parts of one variant.")
@click.option("--builtins", is_flag=True, help="Add what browsers have by themselves.")
def add(
    manifests: Sequence[Path],
    path: Path,
    needs: Sequence[str],
    component: bool,
    builtins: bool,
    **said: Any,
) -> None:
    """Write what MANIFESTS say to an index: variants, or with --component the parts of one."""
    from .hub.browser import BUILTINS
    from .hub.index import Index
    from .hub.write import add, composed_of, entry_of, stating, variant_of

    said["license"] = said.pop("licence")
    packed = [(_manifest(each), _relative(each, path)) for each in manifests]
    if component and packed:
        entries = [entry_of(packed[0][0], composed_of(packed, needs))]
    else:
        entries = [entry_of(each, variant_of(each, url, needs)) for each, url in packed]
    index = _index(path) if path.exists() else Index()
    for entry in entries:
        index = add(index, stating(entry, said))
    for entry in BUILTINS.entries if builtins else ():
        index = add(index, entry)
    text = index.to_json()
    Index.from_json(text)  # what is written is checked as what is read
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    OUT.print(Text(str(path)))


def _manifest(path: Path) -> Manifest:
    from .store.manifest import Manifest

    return Manifest.from_json(_text(path, "make one with `edgewise pack`"))


def _index(path: Path) -> Index:
    from .hub.index import Index

    return Index.from_json(_text(path, "name another --index"))


def _text(path: Path, fix: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} cannot be read", got=str(error), fix=fix) from None


def _relative(manifest: Path, index: Path) -> str:
    """The manifest's address in the index."""
    return Path(os.path.relpath(manifest, index.parent)).as_posix()
