"""Reports as one HTML page: rendered from their Markdown, with every figure inside the file.

The page opens without a server or a network, follows the light or dark scheme of the reader, and
has no script. Links to files of numbers stay relative to its folder.
"""

import base64
import re
from html import escape
from pathlib import Path

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --page: #ffffff; --line: #d6dbe1;
  --soft: #f4f6f8; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ed; --page: #14171b; --line: #3a414a;
  --soft: #1e2329; --link: #7db7f0; } }
body { color: var(--text); background: var(--page); font: 16px/1.5 system-ui, sans-serif;
  max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
a { color: var(--link); }
img { max-width: 100%; background: #ffffff; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0;
  font-size: .9rem; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left;
  vertical-align: top; }
th { background: var(--soft); }
pre { background: var(--soft); padding: .8rem; border-radius: 6px; overflow-x: auto;
  font-size: .85rem; }
code { font-family: ui-monospace, monospace; }
"""
KINDS = {".png": "image/png", ".svg": "image/svg+xml"}
_CELL = re.compile(r"<td>.*?</td>", re.DOTALL)
_UNIT = re.compile(r"(?<=\d) (?=(?:%|µs|ms|s|min|h)(?![\w-]))")  # no line ends between them
_IMAGE = re.compile(r'<img src="([^"]+)"')


def write_page(path: str | Path, title: str, markdown: str) -> Path:
    """Write Markdown as an HTML page; figures are files relative to the folder of the page.

    Raises:
        ValueError: a figure has another format than PNG and SVG, or is not below the folder.
        FileNotFoundError: a figure does not exist.
    """
    from markdown_it import MarkdownIt

    path = Path(path)
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = _CELL.sub(lambda m: _UNIT.sub("\u00a0", m[0]), reader.render(markdown))
    body = _IMAGE.sub(lambda m: f'<img src="{_inline(path.parent, m[1])}"', body)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title, quote=False)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}</body>\n</html>\n"
    )
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return path


def _inline(folder: Path, source: str) -> str:
    """The content of a figure as a data URI."""
    file = folder / source
    if file.suffix not in KINDS or not file.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"A figure of a page is a {' or '.join(KINDS)} file below its folder; got {source}."
        )
    content = base64.b64encode(file.read_bytes()).decode("ascii")
    return f"data:{KINDS[file.suffix]};base64,{content}"
