"""The page of a run: one HTML file with its style, script and data inside, that needs no server and no network.

The data stand in the page as JSON that no text of a prompt can end, and the script writes them as text, never as
markup. The pictures stand apart, each in an element of its own, so that opening the page decodes only those in sight.
Beyond that the page forbids itself every script but its own, by hash, and every connection.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import Any


def page(data: dict[str, Any]) -> str:
    """The HTML of a run's page from ``page_data``."""
    pictures = "\n".join(
        f'<script type="text/plain" id="picture-{number}">{picture}</script>'
        for number, picture in enumerate(data["pictures"])
    )
    rest = {key: value for key, value in data.items() if key != "pictures"}
    style, script, body = (_part(name) for name in ("page.css", "page.js", "page.html"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(data['title'])}</title>\n<style>{style}</style>\n</head>\n"
        f'{body}\n{pictures}\n<script type="application/json" id="data">{_json(rest)}</script>\n'
        f"<script>{script}</script>\n</html>\n"
    )


def _part(name: str) -> str:
    return files("agent.report").joinpath(name).read_text(encoding="utf-8")


def _json(data: dict[str, Any]) -> str:
    """JSON without a character that HTML gives a meaning to."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # A lone surrogate cannot be written as UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
