"""Where weights lie in Wasm memory: as they are, or in the layout that a kernel wants.

A tensor comes in uploads of at most 16 MiB to the staging buffer, from where kernels repack it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...graph.graph import Constant
from ...plan.plan import Binding, Kernel, Step, Weight, count
from ..places import UPLOAD_BYTES, Places, key_of, name_of
from ..program import nbytes_of


@dataclass(slots=True)
class Weights(Places):
    """All weights of a plan. Asking twice for the same gives the same place."""

    placed: dict[str, Binding] = field(default_factory=dict)

    def plain(self, constant: Constant) -> Binding:
        """A constant's bytes as they are; bfloat16 of the file as float32."""
        name = f"plain {name_of(constant)}"
        if name not in self.placed:
            nbytes = nbytes_of(constant.value)
            place = self.placed[name] = self.place(nbytes, key_of(constant, "plain"))
            if constant.data is not None:
                self.inline.append((place, constant.data))
            elif constant.source is not None and constant.source.type == "BF16":
                self.upload(name_of(constant), place, "unpack_bf16", unit=2, made=4)
            else:
                self.upload(name_of(constant), place, "copy_bytes", unit=1, made=1)
        return self.placed[name]

    def upload(
        self,
        name: str,
        to: Binding,
        kernel: str,
        *,
        unit: int,
        made: int,
        numbers: tuple[int, ...] = (),
    ) -> None:
        """Bring a tensor through `kernel`, which makes `made` bytes of each `unit` bytes.

        Its arguments: from, to, the number of units, `numbers`. Items are blocks of 4096 units.
        """
        tensor = self.tensor(name)
        most = UPLOAD_BYTES // unit
        total = tensor.nbytes // unit
        for first in range(0, total, most):
            n = min(most, total - first)
            staging = self.shared.buffer("staging", "staging", n * unit)
            at = Binding(to.buffer, to.offset + first * made, n * made)
            step = Step(
                self.shared.kernel(Kernel(kernel, "", ("read", "write"))),
                (Binding(staging, 0, n * unit), at),
                (count(-(-n // 4096)), count(16), count(1)),
                name,
                (n, *numbers),
            )
            self.uploads.append(Weight(name, tensor.offset + first * unit, n * unit, (step,)))
