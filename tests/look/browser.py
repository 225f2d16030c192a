"""A real browser for what the pages draw: headless Chromium, cut off from every network.

Playwright's own browsers are not used: the system's Chromium is, and tests are skipped without it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

WEB = Path(__file__).parents[2] / "web"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

# For playwright's `evaluate_all`: left, top, right and bottom of each.
BOXES = """all => all.map(e => e.getBoundingClientRect())
              .map(b => [b.left, b.top, b.right, b.bottom])"""


def missing(what: str) -> NoReturn:
    """A developer may be without a tool, CI may not."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


class Page:
    """A page that is open: playwright's page, and what went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def open(self, html: str, path: Path) -> Page:
        """Write a file, open it, and wait until all of its figures are drawn."""
        path.write_text(html, "utf-8")
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-drawn]", state="attached")
        return self

    def state(self, figure: int = 0) -> Any:
        """What a figure says of itself."""
        return self.page.locator(".pellucid-figure").nth(figure).evaluate("e => e.state()")

    def until(self, condition: str, figure: int = 0) -> Page:
        """Wait until an expression of the figure's `state` is true, at most 20 seconds.

        Playwright's own waiting evaluates text in the page, which its policy forbids.
        """
        shown = self.page.locator(".pellucid-figure").nth(figure)
        for _ in range(1000):
            if shown.evaluate(f"e => {{ const state = e.state(); return {condition} }}"):
                return self
            self.page.wait_for_timeout(20)
        raise TimeoutError(f"{condition}: {self.state(figure)}")

    def violations(self) -> list[str]:
        """What axe finds against accessibility, in one line each."""
        if not AXE.exists():
            missing("axe-core is not installed: npm ci --prefix web")
        self.page.evaluate(AXE.read_text("utf-8"))  # not a script element: the policy forbids it
        found = self.page.evaluate("axe.run()")["violations"]
        return [f"{v['id']}: {_node(v['nodes'][0])}" for v in found]


def _node(node: dict[str, Any]) -> str:
    return f"{node['html']}: {' '.join(node['failureSummary'].split())}"


class Browser:
    """One Chromium; each page has an empty profile, no network, and a window of 1280 x 800."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium

    def page(self, **context: Any) -> Page:
        """A new page; `context` is playwright's, such as `color_scheme="dark"`."""
        given = {"viewport": {"width": 1280, "height": 800}, **context}
        opened = self._chromium.new_context(**given)
        opened.set_offline(True)
        opened.route(
            lambda url: not url.startswith(("file:", "data:", "blob:")), lambda r: r.abort()
        )
        return Page(opened.new_page())

    def open(self, html: str, path: Path, **context: Any) -> Page:
        """A new page of that text, drawn."""
        return self.page(**context).open(html, path)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's browser; skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    binary = next(filter(None, map(shutil.which, _NAMES)), None)
    if binary is None:
        missing("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=binary, args=[*_ARGUMENTS])
        try:
            yield Browser(launched)
        finally:
            launched.close()
