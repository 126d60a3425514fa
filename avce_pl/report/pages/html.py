"""What every page of the suite is made of: one HTML file that needs nothing else, no network and no other file."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path


def page(title: str, body: Iterable[str], script: str = "") -> str:
    """A whole page.

    Args:
        title: Plain text.
        body: HTML, in which all that comes from data is escaped already.
        script: JavaScript; the browser runs this one and no other.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if script:
        policy += f"; script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
    style = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv=Content-Security-Policy content="{policy}">'
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        + "\n".join(body)
        + (f"<script>{script}</script>" if script else "")
        + "</body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1, name: str = "", kind: str = "") -> str:
    """A table whose cells are text, in a box that scrolls where the page is too narrow.

    Args:
        head: The column titles.
        rows: The cells.
        texts: How many columns, from the first, are words; the others are numbers.
        name: What it shows, for those who hear the page.
        kind: Classes of the box; ``sortable`` for what the page's script sorts.
    """

    def line(cells: Sequence[str], opening: str, closing: str) -> str:
        text = [f"{opening}{' class=text' if n < texts else ''}>{escape(c)}{closing}" for n, c in enumerate(cells)]
        return f"<tr>{''.join(text)}</tr>"

    body = "".join(line(row, "<td", "</td>") for row in rows)
    return frame(f"<thead>{line(head, '<th scope=col', '</th>')}</thead><tbody>{body}</tbody>", name, kind)


def frame(inside: str, name: str = "", kind: str = "") -> str:
    """A table around its rows, in a box that scrolls, also with the arrow keys."""
    label = f" role=region tabindex=0 aria-label='{escape(name)}'" if name else ""
    return f"<div class='{f'scroll {kind}'.strip()}'{label}><table>{inside}</table></div>"


def image(kind: str, data: bytes, alt: str) -> str:
    """A picture inside the page; scripts in an SVG do not run there."""
    kind = {"svg": "svg+xml"}.get(kind, kind)
    return f"<img src='data:image/{kind};base64,{b64encode(data).decode()}' alt='{escape(alt)}' title='{escape(alt)}'>"
