"""Where a file is cut into segments: at tensor borders, and every 16 MiB in between.

Pure. Whatever the container, a tensor's bytes are then whole segments of their own, so files
that hold the same tensor share its objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

SEGMENT_NBYTES = 16 * 1024 * 1024  # the most that is digested, held and stored at once


def cut(
    tensors: Iterable[tuple[int, int]], file_nbytes: int, starts: Iterable[int] = ()
) -> list[int]:
    """The lengths of the segments that cover a file, in order.

    tensors  (offset, nbytes) of each, absolute, in any order, inside the file.
    starts   where the files begin that are one here: segments end there too.

    Every tensor starts and ends at a segment border; one over 16 MiB is cut every 16 MiB from
    its start, as is what lies between tensors (header, padding).
    """
    borders = {0, file_nbytes, *starts}
    for offset, nbytes in tensors:
        borders |= {offset, offset + nbytes}
    lengths: list[int] = []
    for start, end in pairwise(sorted(borders)):
        whole, rest = divmod(end - start, SEGMENT_NBYTES)
        lengths += [SEGMENT_NBYTES] * whole
        if rest:
            lengths.append(rest)
    return lengths
