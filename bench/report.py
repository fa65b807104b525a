"""Tables and a picture from what run.py measured on a GPU.

    .venv/bin/python bench/report.py RESULT.json … [--picture bench/decode.svg]

RESULT.json are the files that `run.py --all` wrote; of the same step the last one given counts.
Markdown goes to the terminal.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

INK, MUTED, OURS, PEER = "#1f2328", "#59636e", "#0b6b5d", "#9aa5b1"
ROW, LEFT, WIDTH = 34, 290, 860


@dataclass(frozen=True, slots=True)
class Engine:
    """One line of the comparison; rates in tokens a second."""

    name: str
    load_ms: float
    prefill: dict[str, float]
    decode: float
    ours: bool


def ours(results: dict[str, Any]) -> dict[str, Any]:
    """Edgewise's results by step; `best` only where it was not measured with the others."""
    found = {step: result for step, result in results.items() if "dispatches" in result}
    again = found.get("best")
    if again and f"edgewise-{again['plan']}" in found:
        del found["best"]
    return found


def engines(results: dict[str, Any]) -> list[Engine]:
    """Every engine and variant, fastest decode first."""
    found = []
    mine = ours(results)
    for step, result in results.items():
        if "dispatches" in result and step not in mine:
            continue
        if "decode" not in result or "prefill" not in result:
            continue
        prefill = {n: row["tokens_per_s"] for n, row in result["prefill"].items()}
        if isinstance(result["decode"], list):
            decode = max(row["tokens_per_s"]["median"] for row in result["decode"])
            name = f"Edgewise, {result['plan']}"
        else:
            decode = result["decode"]["median"]
            details = [result.get("build"), result.get("precision")]
            name = ", ".join([result["engine"], *filter(None, details)])
        found.append(Engine(name, result["load_ms"], prefill, decode, step in mine))
    return sorted(found, key=lambda engine: -engine.decode)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def number(value: float | None) -> str:
    """Three digits or more, thousands apart."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def comparison(found: Sequence[Engine]) -> str:
    """All engines beside each other."""
    return table(
        ["engine", "load (ms)", "prefill 128 (tok/s)", "prefill 512 (tok/s)", "decode (tok/s)"],
        [
            [
                f"**{e.name}**" if e.ours else e.name,
                number(e.load_ms),
                number(e.prefill.get("128")),
                number(e.prefill.get("512")),
                number(e.decode),
            ]
            for e in found
        ],
    )


def paces(results: dict[str, Any]) -> str:
    """Decode by how many steps are submitted at once and in flight."""
    plans = list(ours(results).values())
    header = ["batch / in flight", *(plan["plan"] for plan in plans)]
    keys = [(row["batch"], row["in_flight"]) for row in plans[0]["decode"]] if plans else []
    rows = []
    for key in keys:
        cells = [
            number(row["tokens_per_s"]["median"])
            for plan in plans
            for row in plan["decode"]
            if (row["batch"], row["in_flight"]) == key
        ]
        rows.append([f"{key[0]} / {key[1]}", *cells])
    return table(header, rows)


def kernels(plan: dict[str, Any], program: str) -> str:
    """Where a program's GPU time goes."""
    found = plan["gpu"][program]
    whole = found["step_ms"]["median"]
    head = f"{plan['plan']}, {program} {found['bindings']}: {whole} ms in one pass"
    rows = [
        [
            row["kernel"],
            row["count"],
            number(row["alone_ms"]),
            number(row["repeated_ms"]),
            f"{row['share']:.0%}",
        ]
        for row in found["kernels"]
    ]
    columns = ["kernel", "dispatches", "alone (ms)", "repeated (ms)", "share of alone"]
    return f"{head}\n\n{table(columns, rows)}"


def picture(found: Sequence[Engine], device: str) -> str:
    """Decode rates as bars, an SVG that reads on light and on dark pages."""
    longest = max(engine.decode for engine in found)
    height = 76 + ROW * len(found)
    bars = []
    for i, engine in enumerate(found):
        y = 56 + ROW * i
        width = max(2.0, (WIDTH - LEFT - 90) * engine.decode / longest)
        weight = ' font-weight="600"' if engine.ours else ""
        bars.append(
            f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end"{weight}>'
            f"{escape(engine.name)}</text>"
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="22" rx="3"'
            f' fill="{OURS if engine.ours else PEER}"/>'
            f'<text x="{LEFT + width + 8:.1f}" y="{y + 15}"{weight}>{number(engine.decode)}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' font-family="system-ui, sans-serif" font-size="13" fill="{INK}">'
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>'
        f'<text x="16" y="26" font-size="15" font-weight="600">Decode, tokens per second</text>'
        f'<text x="16" y="44" fill="{MUTED}">SmolLM2-135M-Instruct, 128 tokens after 128, '
        f"{escape(device)}</text>{''.join(bars)}</svg>\n"
    )


def main() -> None:
    """Print the tables, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    for path in given.results:
        results |= json.loads(path.read_text())
    found = engines(results)
    print(comparison(found), "\n")
    print(paces(results), "\n")
    for result in list(ours(results).values())[:1]:
        print(kernels(result, "decode"), "\n")
        print(kernels(result, "prefill"), "\n")
    if given.picture:
        device = results["facts"]["facts"]["name"] if "facts" in results else "unknown device"
        given.picture.write_text(picture(found, device))


if __name__ == "__main__":
    main()
