"""A page holds all that it shows: it opens from its folder, without a network or scripts."""

import base64
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from pdeops.compare.page import write_page

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
# Without a display, and without requests of the browser itself.
OFFLINE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
)
MARKDOWN = """# A *report*

| method | error |
|---|---|
| c | 1.2 % in 3 ms (batch 8) |
| a \\| b | 1e-3 <script>alert(1)</script> |

![Curve & more](plots/curve.png)

All rows: [rows](rows.csv); all rows take 3 ms.

```toml
lr = 0.001
```
"""


class References(HTMLParser):
    """The tags of a page, and every address in it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [v for name, v in attrs if name in ("src", "href", "srcset", "data")]


def foreign(text, folder):
    """The addresses neither in the page nor below its folder, and those that its styles load."""

    def below(address):
        file = (folder / address).resolve()
        return "://" not in address and file.is_relative_to(folder.resolve())

    addresses = [a for a in References(text).addresses if not a.startswith("data:")]
    return [a for a in addresses if not below(a)] + [
        part for part in ("url(", "@import", "http:", "https:") if part in text.split("<body>")[0]
    ]


@pytest.fixture
def page(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curve.png").write_bytes(PIXEL)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    return write_page(tmp_path / "report.html", "A <report>", MARKDOWN)


def test_a_page_holds_its_figures(page):
    text = page.read_text(encoding="utf-8")
    found = References(text)
    assert not foreign(text, page.parent)
    assert "script" not in found.tags
    assert {"table", "img", "pre", "h1", "em"} <= found.tags
    (image,) = [a for a in found.addresses if a.startswith("data:")]
    assert base64.b64decode(image.removeprefix("data:image/png;base64,")) == PIXEL
    assert "rows.csv" in found.addresses
    assert "<title>A &lt;report&gt;</title>" in text
    assert "a | b" in text
    assert "1.2\u00a0% in 3\u00a0ms (batch 8)" in text, "a line does not end between them"
    assert "all rows take 3 ms." in text
    assert "prefers-color-scheme: dark" in text


def test_a_foreign_address_is_seen(page):
    """Negative control of the check above."""
    text = page.read_text(encoding="utf-8")
    for address in ("https://example.org/x.png", "../x.png", "/x.png"):
        assert foreign(text.replace("rows.csv", address), page.parent) == [address]


@pytest.mark.parametrize("source", ["../outside.png", "plots/curve.pdf"])
def test_figures_lie_below_the_page(tmp_path, source):
    (tmp_path / "inner").mkdir()
    with pytest.raises(ValueError, match="below its folder"):
        write_page(tmp_path / "inner" / "report.html", "t", f"![x]({source})")
    assert not list((tmp_path / "inner").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_it(page, scheme, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if browser is None:
        pytest.skip("no chromium on PATH")
    from matplotlib.image import imread

    picture = tmp_path / "page.png"
    forced = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]
    subprocess.run(
        [browser, *OFFLINE, "--window-size=800,600", f"--user-data-dir={tmp_path / 'profile'}"]
        + (forced if scheme == "dark" else ["--blink-settings=preferredColorScheme=1"])
        + [f"--screenshot={picture}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    corner = imread(picture)[2, 2, :3].mean()
    assert corner > 0.95 if scheme == "light" else corner < 0.15
