"""Which segments to fetch and in which requests. Pure: indices and sizes in, ranges out.

Neighbours become one run, so that a model of three hundred segments costs a few requests, and
long runs are split, so that several connections share the bytes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Sequence
from itertools import accumulate, groupby, pairwise

from .base import Run
from .manifest import Manifest

# A request costs more than these bytes: smaller holes (padding, mostly) are fetched again.
BRIDGE_NBYTES = 4096


def wanted(manifest: Manifest, tensors: Iterable[str] | None = None) -> list[int]:
    """The segments that hold these tensors (None: all tensors), ascending, each hash once."""
    found: set[int] = set()
    for name in manifest.tensors if tensors is None else tensors:
        span = manifest.segments_of(name)
        found |= set(range(span.first, span.first + len(span.segments)))
    seen: set[str] = set()
    unique: list[int] = []
    for index in sorted(found):
        hash = manifest.segments[index].hash
        if hash is None or hash not in seen:
            unique.append(index)
        if hash is not None:
            seen.add(hash)
    return unique


def missing(manifest: Manifest, indices: Iterable[int], there: Container[str]) -> list[int]:
    """Those whose object is not there; one whose hash is not known never is."""
    hashes = ((index, manifest.segments[index].hash) for index in indices)
    return [index for index, hash in hashes if hash is None or hash not in there]


def coalesce(indices: Sequence[int], sizes: Sequence[int], bridge: float) -> list[range]:
    """Ascending indices as ranges of neighbours, over holes of at most `bridge` bytes.

    [0, 1, 4] with a hole 2-3 larger than `bridge` -> [range(0, 2), range(4, 5)]
    """
    ranges: list[range] = []
    for index in indices:
        last = ranges[-1] if ranges else None
        if last and sum(sizes[last.stop : index]) <= bridge:
            ranges[-1] = range(last.start, index + 1)
        else:
            ranges.append(range(index, index + 1))
    return ranges


def split(ranges: Sequence[range], sizes: Sequence[int], parts: int) -> list[range]:
    """The same segments in ranges of about a `parts`-th of all bytes each.

    A single range gives at most `parts`; each part is off its share by at most one segment.
    """
    total = sum(sum(sizes[r.start : r.stop]) for r in ranges)
    pieces: list[range] = []
    for whole in ranges:
        ends = list(accumulate(sizes[whole.start : whole.stop]))
        count = max(1, round(ends[-1] * parts / total))
        cuts = {_nearest(ends, ends[-1] * part / count) for part in range(1, count)}
        borders = sorted(cuts | {0, len(whole)})
        pieces += [whole[a:b] for a, b in pairwise(borders)]
    return pieces


def _nearest(ends: Sequence[int], target: float) -> int:
    """How many segments come closest to `target` bytes; `ends` are their running sums."""
    count = bisect_left(ends, target)
    before = ends[count - 1] if count else 0
    return count if target - before <= ends[count] - target else count + 1


def plan(
    manifest: Manifest, urls: Sequence[str], indices: Sequence[int], *, parts: int, ranged: bool
) -> list[Run]:
    """The requests that bring these segments of the files at `urls`.

    ranged  False: the server sends whole files, so one request spans all that is missing of one.
    """
    if not indices:
        return []
    sizes = [segment.nbytes for segment in manifest.segments]
    bridge = BRIDGE_NBYTES if ranged else float("inf")
    ranges: list[range] = []
    for _, group in groupby(indices, lambda index: file_of(manifest, index)):
        ranges += coalesce(list(group), sizes, bridge)
    pieces = split(ranges, sizes, parts) if ranged else ranges
    return [_run(manifest, urls, piece) for piece in pieces]


def file_of(manifest: Manifest, index: int) -> int:
    """Which of the manifest's files a segment is in."""
    return bisect_right(manifest.starts, manifest.offsets[index]) - 1


def _run(manifest: Manifest, urls: Sequence[str], piece: range) -> Run:
    file = file_of(manifest, piece.start)
    offset = manifest.offsets[piece.start] - manifest.starts[file]
    return Run(urls[file], offset, manifest.segments[piece.start : piece.stop])
