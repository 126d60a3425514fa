"""Draws docs/architecture.svg, the rooms of the package and their imports: ``python docs/architecture.py``."""

import ast
from collections.abc import Iterator, Mapping
from html import escape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "avce_pl"
DRAWING = ROOT / "docs" / "architecture.svg"

FLOORS = (
    ("errors", "utils", "functional", "optimizer"),
    (
        *("crl_formula", "mining", "similarity", "feature_transform", "backbone", "metrics"),
        *("image", "synthesis"),
    ),
    ("method", "dataset", "face", "runs"),
    ("config", "prepare", "report"),
    ("training",),
    ("inference", "explain"),
    ("predict",),
    ("cli",),
)
"""The rooms, from the ground up. An import leads to the same floor or to a lower one, and rooms form no cycle."""

GROUND = ("errors", "utils")
"""Rooms that nearly all others use, whose arrows are not drawn."""

_WIDTH, _FLOOR, _BOX = 1120, 92, 34
_COLOURS = ("#64748b", "#0ea5e9", "#10b981", "#f59e0b", "#ef4444", "#8b5cf6", "#ec4899", "#334155")


def imports(file: Path) -> set[str]:
    """The full names that a module imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(file: Path) -> str:
    """The room that a module of the package lies in."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def arrows_of(file: Path) -> set[str]:
    """The rooms that a module imports from."""
    return {name.split(".")[1] for name in imports(file) if name.startswith("avce_pl.")} - {room(file)}


def read_arrows() -> dict[str, set[str]]:
    """Room -> the rooms that it imports from; without the package's own ``__init__`` and ``__main__``."""
    graph: dict[str, set[str]] = {name: set() for floor in FLOORS for name in floor}
    for file in sorted(PACKAGE.rglob("*.py")):
        if room(file) in graph:
            graph[room(file)] |= arrows_of(file)
    return graph


def reduced(graph: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """The arrows that do not follow from others: a room that uses another one uses what is below it as well."""

    def below(name: str) -> set[str]:
        return {name}.union(*(below(other) for other in graph[name]))

    for name in sorted(graph):
        for other in sorted(graph[name]):
            if not any(other in below(via) for via in graph[name] - {other}):
                yield name, other


def draw() -> str:
    """The drawing as SVG."""
    graph = {name: others - set(GROUND) for name, others in read_arrows().items()}
    arrows = list(reduced(graph))
    places = _places(arrows)
    height = len(FLOORS) * _FLOOR + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'role="img" aria-label="The rooms of avce_pl on eight floors, and which imports which">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="context-stroke"/></marker></defs>',
    ]
    for number in range(len(FLOORS)):
        y = height - (number + 1) * _FLOOR
        lines.append(f'<rect x="6" y="{y}" width="{_WIDTH - 12}" height="{_FLOOR - 12}" rx="8" fill="#f1f5f9"/>')
        lines.append(f'<text x="22" y="{y + 45}" font-size="17" fill="#94a3b8">{number + 1}</text>')
    levels = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    for start, end in arrows:
        above, beneath = (height - (levels[name] + 1) * _FLOOR + 23 for name in (start, end))
        x, to = places[start], places[end]
        colour = _COLOURS[levels[start]]
        if levels[start] == levels[end]:
            side = 1 if to > x else -1
            path = f"M{x + side * _wide(start) / 2:.0f} {above + 17} L{to - side * _wide(end) / 2:.0f} {above + 17}"
        else:
            path = (
                f"M{x:.0f} {above + _BOX} C{x:.0f} {above + _BOX + 34} {to:.0f} {beneath - 34} {to:.0f} {beneath - 1}"
            )
        lines.append(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.3" opacity=".75" marker-end="url(#tip)"/>'
        )
    for number, floor in enumerate(FLOORS):
        y = height - (number + 1) * _FLOOR
        for name in floor:
            x = places[name]
            wide = _wide(name)
            lines.append(
                f'<rect x="{x - wide / 2:.0f}" y="{y + 23}" width="{wide}" height="{_BOX}" rx="6" fill="white" '
                f'stroke="{_COLOURS[number]}" stroke-width="1.6"/>'
            )
            lines.append(f'<text x="{x:.0f}" y="{y + 45}" font-size="14" text-anchor="middle">{escape(name)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _wide(name: str) -> int:
    return 22 + 8 * len(name)


def _places(arrows: list[tuple[str, str]]) -> dict[str, float]:
    """The middle of every room's box: near the rooms that it is connected with, in the order of `FLOORS` at first."""
    places: dict[str, float] = {}
    for floor in FLOORS:
        places |= _row(floor, {name: float(number) for number, name in enumerate(floor)})
    for _ in range(20):
        for floor in (*FLOORS[1:], *FLOORS[-2::-1]):
            wish = dict(places)
            for name in floor:
                near = [places[a if b == name else b] for a, b in arrows if name in (a, b)]
                wish[name] = sum(near) / len(near) if near else places[name]
            places |= _row(floor, wish)
    return places


def _row(floor: tuple[str, ...], wish: Mapping[str, float]) -> dict[str, float]:
    """Boxes beside each other in the order that is wished, evenly over the width."""
    order = sorted(floor, key=lambda name: (wish[name], name))
    gap = (_WIDTH - 90 - sum(_wide(name) for name in order)) / (len(order) + 1)
    x, found = 50 + gap, {}
    for name in order:
        found[name] = x + _wide(name) / 2
        x += _wide(name) + gap
    assert all(found[b] > found[a] for a, b in pairwise(order))
    return found


if __name__ == "__main__":
    DRAWING.write_text(draw(), encoding="utf-8")
