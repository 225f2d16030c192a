"""What the attention figures draw, read back in a browser, is what the tensors say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.look import packing
from pellucid.look.attention import AttentionView
from pellucid.look.page import page as page_of
from pellucid.model.config import ModelConfig, Rope

from .browser import Browser, Page
from .test_attention import Kept, random_rows

NAMES = b"the cat walked over a mat and then another one".split()


def config(layers: int, heads: int, kv_heads: int, dim: int, **changed: Any) -> ModelConfig:
    given = {
        "family": "llama", "vocab_size": 8, "hidden_size": heads * dim, "layers": layers,
        "heads": heads, "kv_heads": kv_heads, "head_dim": dim, "intermediate_size": 8,
        "context_length": 8192, "norm": "rms", "norm_eps": 1e-5, "pre_norm": True,
        "post_norm": False, "qk_norm": None, "parallel": False, "rope": (Rope(dim),) * layers,
        "learned_positions": 0, "window": (None,) * layers, "attention_scale": dim**-0.5,
        "attention_softcap": None, "mlp": "gated", "activation": "silu", "experts": None,
        "qkv_bias": False, "output_bias": False, "mlp_bias": False, "head_bias": False,
        "embedding_scale": 1.0, "logit_softcap": None, "tied_embeddings": True,
    }  # fmt: skip
    return ModelConfig(**{**given, **changed})


def view(
    rows: int, sizes: tuple[int, int, int, int], figure: str | None = None, **changed: Any
) -> AttentionView:
    """Random queries and keys, some of them large: `sizes` are layers, heads, kv_heads, dim."""
    layers, heads, kv_heads, dim = sizes
    values = {}
    for layer in range(layers):
        values[f"layers.{layer}.attn.q"] = 3 * random_rows(rows, heads, dim, 2 * layer)
        values[f"layers.{layer}.attn.k"] = random_rows(rows, kv_heads, dim, 2 * layer + 1)
    pieces = tuple(b" " + NAMES[i % len(NAMES)] for i in range(rows))
    return AttentionView(Kept(config(*sizes, **changed), pieces, values), figure=figure)


CAPPED = {"window": (None, 7), "attention_softcap": 5.0}


def drawn(browser: Browser, shown: AttentionView, tmp_path: Path, **context: Any) -> Page:
    """A page of the view's one figure."""
    figure = shown.figure()
    opened = browser.open(page_of("One", [figure]), tmp_path / "page.html", **context)
    if figure.kind in ("attention-matrix", "attention-model"):
        opened.until("(state.matrix ?? state).complete")
    return opened


def weights(opened: Page, canvas: str, xs: list[float], ys: list[float]) -> Any:
    """The weights that the ink of a canvas means, `[ys, xs]`; places are in CSS pixels."""
    ink = opened.page.locator(canvas).first.evaluate(
        """(canvas, [xs, ys]) => {
          const { width, height } = canvas, scale = width / canvas.clientWidth;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          const at = (x, y) => Math.floor(y * scale) * width + Math.floor(x * scale);
          return ys.map(y => xs.map(x => data[4 * at(x, y) + 3]));
        }""",
        [xs, ys],
    )
    return (np.array(ink) / 255) ** 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("layer", [0, 1])
def test_the_matrix_is_the_pattern(
    browser: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    layer: int,
) -> None:
    if layer:  # packed as long texts are
        monkeypatch.setattr(packing, "_SHORT_BYTES", 0)
    shown = view(20, (2, 4, 2, 8), "matrix", **CAPPED)
    opened = drawn(browser, shown, tmp_path, color_scheme=scheme)
    opened.page.get_by_label("Layer").fill(str(layer))
    opened.page.locator("select").select_option(label="3")
    opened.until("state.complete")
    opened.page.wait_for_timeout(100)
    state = opened.state()
    left, top, side = state["place"]
    centres = [(at + 0.3) * side / 20 for at in range(20)]  # beside the ring around a cell
    read = weights(
        opened, ".matrix canvas", [left + x for x in centres], [top + y for y in centres]
    )
    pattern = shown.pattern(layer, 3)
    assert (state["layer"], state["head"]) == (layer, 3)
    inside = np.ones((20, 20), bool)
    inside[state["row"], state["column"]] = False  # but for the cell with the ring
    assert np.abs(read - pattern)[inside].max() < 0.006  # 256 shades of ink
    assert state["weight"] == pytest.approx(pattern[state["row"], state["column"]], abs=1e-3)
    assert opened.errors == []
    assert opened.violations() == []


def test_arrows_move_over_the_matrix_and_the_status_says_where(
    browser: Browser, tmp_path: Path
) -> None:
    shown = view(20, (1, 1, 1, 8))
    opened = drawn(browser, shown, tmp_path)
    opened.page.locator(".matrix").focus()
    for _ in range(3):
        opened.page.keyboard.press("ArrowUp")
    opened.page.keyboard.press("Shift+ArrowLeft")
    opened.page.keyboard.press("Shift+ArrowLeft")
    opened.page.keyboard.press("ArrowRight")
    state, pattern = opened.state(), shown.pattern(0, 0)
    assert (state["row"], state["column"]) == (16, 1)
    told = opened.page.locator(".status").inner_text()
    assert told == f"Layer 0, head 0: 16 ␣and → 1 ␣cat {100 * pattern[16, 1]:.2f} %"
    listed = opened.page.locator(".strongest tbody tr").all_inner_texts()
    assert [int(row.split()[0]) for row in listed] == np.argsort(-pattern[16])[:8].tolist()


def test_a_tooltip_names_both_tokens_and_the_weight(browser: Browser, tmp_path: Path) -> None:
    shown = view(20, (1, 1, 1, 8))
    opened = drawn(browser, shown, tmp_path)
    left, top, side = opened.state()["place"]
    box = opened.page.locator(".matrix canvas").bounding_box()
    x, y = (box["x"] + left + 3.5 * side / 20), (box["y"] + top + 9.5 * side / 20)
    opened.page.mouse.move(x, y)
    weight = shown.pattern(0, 0)[9, 3]
    assert opened.page.locator(".tooltip").inner_text() == f"9 ␣one → 3 ␣over {100 * weight:.2f} %"


def test_tiles_of_a_long_text_show_the_largest_weight_that_a_texel_covers(
    browser: Browser, tmp_path: Path
) -> None:
    shown = view(4096, (1, 1, 1, 8), window=(1500,))
    opened = drawn(browser, shown, tmp_path)
    pattern = shown.pattern(0, 0)
    left, top, side = opened.state()["place"]
    matrix = opened.page.locator(".matrix")
    matrix.focus()
    for blocks, presses in ((8, 0), (4, 2), (1, 3)):
        for _ in range(presses):
            opened.page.keyboard.press("+")
        opened.page.wait_for_timeout(200)
        opened.until("state.complete")
        opened.page.wait_for_timeout(100)
        state = opened.state()
        pooled = pattern.reshape(4096 // blocks, blocks, -1, blocks).max((1, 3))
        texels = np.arange(3, 40) * (side / state["scale"] / blocks / 42)
        down = (state["top"] / blocks + texels).astype(int)
        across = (state["left"] / blocks + texels).astype(int)
        xs = [left + float((a + 0.5) * blocks - state["left"]) * state["scale"] for a in across]
        ys = [top + float((d + 0.5) * blocks - state["top"]) * state["scale"] for d in down]
        read = weights(opened, ".matrix canvas", xs, ys)
        expected = pooled[np.ix_(down, across)]
        assert np.mean(np.abs(read - expected) < 0.006) > 0.97  # a texel's edge may be rounded away


def test_four_thousand_tokens_open_and_pan_fluently(browser: Browser, tmp_path: Path) -> None:
    """Measured on a quiet two-core machine: 1.1 s and 60 frames a second. Bounds are wide."""
    shown = view(4096, (1, 1, 1, 64))
    opened = browser.open(page_of("One", shown.figures()[1:2]), tmp_path / "page.html")
    assert opened.page.evaluate("performance.now()") < 10_000
    frames = opened.page.evaluate(
        """async () => {
          const canvas = document.querySelector(".matrix canvas");
          const { left, top } = canvas.getBoundingClientRect();
          canvas.setPointerCapture = () => undefined;  // no such pointer
          const point = (type, at) => canvas.dispatchEvent(
            new PointerEvent(type, { pointerId: 1, clientX: left + at, clientY: top + at }));
          document.querySelectorAll(".zoom button")[0].click();
          point("pointerdown", 500);
          const begun = performance.now();
          for (let i = 0; i < 40; i++) {
            point("pointermove", 500 - 4 * i);
            await new Promise(requestAnimationFrame);
          }
          return 40_000 / (performance.now() - begun);
        }"""
    )
    assert opened.state()["left"] > 0
    assert frames > 5


def test_thumbnails_show_every_head_and_one_opens_below(browser: Browser, tmp_path: Path) -> None:
    shown = view(12, (3, 4, 2, 8))
    opened = drawn(browser, shown, tmp_path)
    opened.until("state.drawn === 12")
    cell = "[role=gridcell][data-layer='2'][data-head='1']"
    places = [(at + 0.5) * 84 / 12 for at in range(12)]
    read = weights(opened, f"{cell} canvas", places, places)
    np.testing.assert_allclose(read, shown.pattern(2, 1), atol=0.006)
    opened.page.locator(cell).click()
    state = opened.state()
    assert state["picked"] == {"layer": 2, "head": 1}
    assert (state["matrix"]["layer"], state["matrix"]["head"]) == (2, 1)
    means = next(h for h in shown.summaries if (h.layer, h.head) == (2, 1))
    label = opened.page.locator(cell).get_attribute("aria-label")
    assert label == (
        f"Layer 2, head 1: first token {100 * means.first:.0f} %,"
        f" previous {100 * means.previous:.0f} %, itself {100 * means.itself:.0f} %"
    )
    opened.page.keyboard.press("ArrowDown")  # four heads go across, three layers down
    assert opened.state()["picked"] == {"layer": 2, "head": 1}
    opened.page.keyboard.press("ArrowLeft")
    assert opened.state()["picked"] == {"layer": 2, "head": 0}
    assert opened.errors == []
    assert opened.violations() == []


def test_lines_go_from_a_token_to_all_that_its_heads_look_at(
    browser: Browser, tmp_path: Path
) -> None:
    shown = view(12, (2, 4, 2, 8), "head", **CAPPED)
    opened = drawn(browser, shown, tmp_path)
    opened.page.get_by_label("Layer").fill("1")
    opened.page.get_by_role("option").last.focus()
    opened.page.keyboard.press("ArrowUp")
    opened.page.get_by_label("Head 2").click()
    state = opened.state()
    assert (state["layer"], state["row"], state["heads"]) == (1, 10, [0, 1, 3])
    drawn_links = {(n["head"], n["to"]): n["weight"] for n in state["links"]}
    expected = {
        (head, at): weight
        for head in (0, 1, 3)
        for at, weight in enumerate(shown.pattern(1, head)[10].tolist())
        if weight >= 0.005
    }
    assert drawn_links == pytest.approx(expected, abs=1e-3)
    assert opened.page.locator("svg path").count() == len(expected)
    assert opened.errors == []
    assert opened.violations() == []


def test_weights_too_small_for_a_line_are_counted_all_the_same(
    browser: Browser, tmp_path: Path
) -> None:
    shown = view(300, (1, 2, 2, 8), "head", attention_scale=0.01)
    opened = drawn(browser, shown, tmp_path)
    assert len(opened.state()["links"]) < 30, "nearly all of 600 weights are below 0.005"
    mean = (shown.pattern(0, 0)[-1] + shown.pattern(0, 1)[-1]) / 2
    listed = opened.page.locator(".strongest tbody tr").all_inner_texts()
    expected = [(int(at), 100 * float(mean[at])) for at in np.argsort(-mean)[:8]]
    read = [(int(row.split()[0]), float(row.split()[2])) for row in listed]
    np.testing.assert_allclose(read, expected, atol=0.0051)


def test_a_head_can_be_alone_and_the_first_token_left_out(browser: Browser, tmp_path: Path) -> None:
    opened = drawn(browser, view(12, (1, 4, 4, 8), "head"), tmp_path)
    opened.page.get_by_label("Head 2").dblclick()
    assert opened.state()["heads"] == [2]
    opened.page.get_by_role("option").nth(1).click()
    assert any(link["to"] == 0 for link in opened.state()["links"])
    opened.page.get_by_label("links to the first token").uncheck()
    assert all(link["to"] > 0 for link in opened.state()["links"])


def test_scores_are_sums_over_dimensions(browser: Browser, tmp_path: Path) -> None:
    shown = view(12, (2, 4, 2, 8), "neuron", **CAPPED)
    opened = drawn(browser, shown, tmp_path)
    opened.page.get_by_label("Layer").fill("1")
    opened.page.locator("select").select_option(label="3")
    opened.page.locator(".tokens [role=option]").nth(9).click()
    state = opened.state()
    pattern = shown.pattern(1, 3)[9]
    assert [key["at"] for key in state["keys"]] == np.argsort(-pattern)[:7].tolist()
    for key in state["keys"]:
        assert key["weight"] == pytest.approx(float(pattern[key["at"]]), abs=1e-3)
    q, k = shown._q[1][9, 3], shown._k[1][state["keys"][0]["at"], 1]
    fit = float(q @ k) * 8**-0.5
    assert state["keys"][0]["score"] == pytest.approx(5 * np.tanh(fit / 5), abs=2e-3)
    opened.page.locator(".strips tbody canvas").nth(1).hover(position={"x": 330 * 2.5 / 8, "y": 9})
    product = float(q[2] * k[2]) * 8**-0.5
    said = opened.page.locator(".tooltip").inner_text().replace("\N{MINUS SIGN}", "-")
    assert said.startswith("dimension 2: query \N{MULTIPLICATION SIGN} key ")
    assert float(said.split()[-1]) == pytest.approx(product, abs=0.006)
    assert opened.errors == []
    assert opened.violations() == []


def test_one_token_looks_at_itself(browser: Browser, tmp_path: Path) -> None:
    shown = view(1, (2, 2, 1, 8))
    opened = browser.open(shown.page(), tmp_path / "page.html")
    opened.until("state.drawn === 4", 1)
    assert opened.state(1)["matrix"]["weight"] == 1
    assert [link["weight"] for link in opened.state(0)["links"]] == [1, 1]
    assert opened.state(2)["keys"][0]["weight"] == 1
    assert "100.00 %" in shown.html()
    assert opened.errors == []


def test_a_page_of_all_figures_carries_queries_and_keys_once() -> None:
    shown = view(64, (2, 4, 2, 8))
    alone = len(page_of("One", [shown.figure()]))
    assert len(shown.page()) < 1.1 * alone


@pytest.mark.slow
def test_all_attention_of_512_tokens_fits_into_25_megabytes() -> None:
    """The sizes of SmolLM2, and numbers as random as can be; real ones give 23.3 MB."""
    assert len(view(512, (30, 9, 3, 64)).page()) < 25e6
