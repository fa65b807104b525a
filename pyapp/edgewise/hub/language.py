"""Whether a model knows the languages that are asked for. Languages are BCP 47 tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import InputError

TRANSLATION = "translation"
SHOWN = 4  # a model may know hundreds


def alike(known: str, asked: str) -> bool:
    """Whether one tag is the other or narrows it: en and en-GB are, en-US and en-GB are not."""
    a, b = known.lower().split("-"), asked.lower().split("-")
    return all(x == y for x, y in zip(a, b, strict=False))


def check(task: str, asked: Sequence[str]) -> None:
    """Raises InputError for a translation that is not from one language to another."""
    if task == TRANSLATION and len(asked) not in (0, 2):
        raise InputError("languages of a translation", got=", ".join(asked),
                         need="two: from and to", fix='languages=("en", "ja")')  # fmt: skip


def lacking(
    task: str,
    asked: Sequence[str],
    known: Sequence[str],
    pairs: Sequence[tuple[str, str]],
) -> str | None:
    """Why a model cannot do `task` in the languages `asked`, as the end of a sentence, or None.

    known  the languages of the model; pairs: what it translates from and to. Neither: it states
           none, as a model of pictures or sounds, and does it in any.
    """
    if task == TRANSLATION and pairs:
        if not asked or any(alike(a, asked[0]) and alike(b, asked[1]) for a, b in pairs):
            return None
        told = _some(f"{a}→{b}" for a, b in pairs)
        return f"it translates {told}, not {asked[0]}→{asked[1]}"
    if not known:
        return None
    unknown = [each for each in asked if not any(alike(tag, each) for tag in known)]
    return f"it knows {_some(known)}, not {_some(unknown)}" if unknown else None


def _some(names: Iterable[str]) -> str:
    """ "de, en", or of many the first ones and how many more."""
    every = list(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more
