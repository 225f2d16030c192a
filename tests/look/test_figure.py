"""Figures travel whole: as JSON with their arrays set apart, in a page, in a notebook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.look.figure import Figure, Packed, labels, script
from pellucid.look.packing import PackedRows
from pellucid.look.page import page
from pellucid.look.widget import widget

from .browser import Browser


def attention(tokens: list[str], seed: int = 0, **changed: Any) -> Figure:
    """One layer of two heads that share their keys."""
    random = np.random.default_rng(seed)
    q = random.normal(size=(len(tokens), 2, 8)).astype(np.float32) * 2
    k = random.normal(size=(len(tokens), 1, 8)).astype(np.float32) * 2
    layer = {
        "layer": 3,
        "window": None,
        "q": PackedRows.pack(q, 16).to_figure(),
        "k": PackedRows.pack(k, 16).to_figure(),
    }
    data = {"tokens": tokens, "heads": [0, 1], "groups": [0, 0], "scale": 8**-0.5}
    return Figure(
        "attention-head", "Title", "Hint", {**data, "softcap": None, "layers": [layer], **changed}
    )


def test_arrays_are_set_apart_and_one_that_is_shared_travels_once() -> None:
    shared = np.arange(6, dtype=np.int32).reshape(2, 3)
    packed = Packed([Figure("a", "A", "", {"x": [shared]}), Figure("b", "B", "", {"y": shared})])
    reference = {"$array": 0, "dtype": "int32", "shape": [2, 3]}
    assert [f["data"] for f in packed.figures] == [{"x": [reference]}, {"y": reference}]
    assert [a.tolist() for a in packed.arrays] == [[[0, 1, 2], [3, 4, 5]]]


def test_arrays_travel_in_c_order_and_little_endian() -> None:
    given = np.arange(6, dtype=">f4").reshape(2, 3).T
    (sent,) = Packed([Figure("a", "A", "", {"x": given})]).arrays
    assert np.frombuffer(sent.tobytes(), "<f4").tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("value", [np.zeros(1, np.int64), b"bytes", {"$array": 0}, object()])
def test_what_cannot_travel_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        Packed([Figure("a", "A", "", {"x": value})])


def test_a_page_is_drawn_offline_without_a_word_on_the_console(
    browser: Browser, tmp_path: Path
) -> None:
    opened = browser.open(page("One", [attention(["␣a", "␣b", "c"])]), tmp_path / "page.html")
    assert opened.page.locator("h2").all_inner_texts() == ["Title"]
    assert opened.state()["row"] == 2
    assert opened.errors == []
    assert opened.violations() == []


def test_no_text_breaks_out_of_a_page(
    browser: Browser, tmp_path: Path, hostile: dict[bytes, str]
) -> None:
    tokens = ["</script><script>document.title = 'out'</script>", "<!--<script>", *labels(hostile)]
    html = page("</title><script>alert(1)</script>", [attention(tokens)])
    opened = browser.open(html, tmp_path / "page.html")
    shown = opened.page.locator("[role=option] bdi").all_text_contents()
    assert shown == tokens
    assert opened.page.title() == "</title><script>alert(1)</script>"
    assert opened.errors == []


def test_a_page_may_load_nothing_and_run_nothing_else(browser: Browser, tmp_path: Path) -> None:
    opened = browser.open(page("One", [attention(["a", "b"])]), tmp_path / "page.html")
    opened.page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.ran = true';"
        " document.body.append(s); const i = new Image(); i.src = 'https://example.org/x.png'"
    )
    opened.page.wait_for_timeout(100)
    assert opened.page.evaluate("window.ran") is None
    assert all("Content Security Policy" in e for e in opened.errors)
    assert len(opened.errors) == 2


def test_a_figure_that_fails_says_so_on_its_page(browser: Browser, tmp_path: Path) -> None:
    opened = browser.page()
    path = tmp_path / "page.html"
    path.write_text(page("One", [Figure("nothing", "T", "H", {})]), "utf-8")
    opened.page.goto(path.as_uri())
    alert = opened.page.get_by_role("alert").inner_text()
    assert "no figure of kind nothing" in alert


def test_a_notebook_gets_arrays_as_bytes() -> None:
    pytest.importorskip("anywidget")
    made: Any = widget(Figure("a", "A", "", {"x": np.ones(2, np.float32)}))
    assert made.figure["data"] == {"x": {"$array": 0, "dtype": "float32", "shape": [2]}}
    assert made.buffers == [np.ones(2, "<f4").tobytes()]
    assert "render" in made._esm


def test_the_module_draws_for_a_notebook(browser: Browser) -> None:
    """What anywidget does: `render` with a model that gives JSON and views of a message's bytes."""
    packed = Packed([attention(["␣a", "␣b"])])
    arrays = [list(array.tobytes()) for array in packed.arrays]
    opened = browser.page()
    opened.page.evaluate(
        """async ([code, figure, arrays]) => {
          const url = URL.createObjectURL(new Blob([code], {type: "text/javascript"}));
          const views = arrays.map((bytes) => {
            const message = new Uint8Array([7, 7, 7, ...bytes]);  // not aligned
            return new DataView(message.buffer, 3);
          });
          const values = {figure, buffers: views};
          const {default: module} = await import(url);
          module.render({model: {get: (name) => values[name]}, el: document.body});
        }""",
        [script(), packed.figures[0], arrays],
    )
    assert opened.state()["row"] == 1
    assert opened.errors == []


def test_the_json_of_a_page_is_what_was_packed() -> None:
    figure = attention(["<"])
    (text,) = re.findall(r'id="pellucid-figures">(.*?)</script>', page("One", [figure]), re.S)
    assert json.loads(text) == {"figures": Packed([figure]).figures}
