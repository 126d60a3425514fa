"""HTML pages from templates: files that load nothing, neither from the network nor from the disk."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


def render_page(template: str, title: str, script: str = "", **values: Any) -> str:
    """Fills a template of this folder; whatever it does not mark as safe is escaped.

    Args:
        template: Its file, which extends ``page.html.j2``.
        title: Of the page.
        script: JavaScript; the browser runs this one and no other.
        **values: What the template shows.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # late, as few commands make a page

    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if script:
        policy += f"; script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_uri"] = _data_uri
    style = (_FOLDER / "html.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(title=title, style=style, script=script, policy=policy, **values)


def _data_uri(picture: bytes, kind: str) -> str:
    """A picture as an address: ``png``, ``jpeg`` or ``svg``."""
    return f"data:image/{'svg+xml' if kind == 'svg' else kind};base64,{b64encode(picture).decode()}"
