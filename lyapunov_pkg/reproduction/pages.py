"""Pages of the report: a figure with its caption, a table with its caption and its note."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

import pandas as pd

from lyapunov_pkg.reproduction.tables.writing import readable

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #111; background: #fff; max-width: 68rem; margin: 1.5rem auto;
  padding: 0 1rem; }}
img {{ max-width: 100%; height: auto; }}
table {{ border-collapse: collapse; font-size: 13px; }}
th, td {{ padding: 0.25rem 0.7rem; text-align: left; border-bottom: 1px solid #ddd; }}
thead th {{ border-bottom: 2px solid #111; vertical-align: bottom; }}
.caption {{ max-width: 55rem; }}
.note {{ max-width: 55rem; color: #444; font-size: 13px; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def figure_page(name: str, text: str, png: bytes) -> str:
    """Return the HTML page of a figure: the embedded image above its title and caption `text`."""
    image = base64.b64encode(png).decode("ascii")
    picture = f'<img src="data:image/png;base64,{image}" alt="{escape(name)}">'
    return PAGE.format(title=escape(name), body=f'{picture}\n<p class="caption">{escape(text)}</p>')


def table_page(name: str, text: str, frame: pd.DataFrame) -> str:
    """Return the HTML page of a table: its title and caption `text`, its rows as in Markdown, and its note."""
    body = f'<p class="caption">{escape(text)}</p>\n{readable(frame).to_html(index=False, border=0)}'
    note = frame.attrs.get("note")
    if note:
        body += f'\n<p class="note">{escape(note)}</p>'
    return PAGE.format(title=escape(name), body=body)


def write_text(text: str, path: str | Path) -> None:
    """Write text in UTF-8, with a line break at the end."""
    Path(path).write_text(text.rstrip("\n") + "\n", encoding="utf-8")
