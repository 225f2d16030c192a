"""One HTML file of figures that needs nothing else: no server, no network, no Python."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.look.figure import Figure, Packed, script
from pellucid.look.html import Html, document, element

_TRIED = 1 << 16  # bytes that tell whether an array gets smaller
_WORTH = 0.98

_STYLE = """
:root { color-scheme: light dark; color: CanvasText; background: Canvas }
body { margin: 1.5em auto; padding: 0 1.5em; max-width: 1200px }
h1 { font: 600 1em/1.4 system-ui, sans-serif; opacity: .75; margin: 0 0 1.5em }
"""


def page(title: str, figures: Sequence[Figure]) -> str:
    """The text of an HTML file that shows figures one below the other, each array once.

    It opens from anywhere, offline: its policy (CSP) forbids it to load or send anything and to run
    any script but ours. Arrays are deflated, then base64; the browser inflates them. Nothing in
    `data`, whatever a text or a token says, can leave the script element that holds it.
    """
    packed = Packed(figures)
    code = Html(script())
    body = (
        element("main", element("h1", title)),
        element("noscript", "The figures of this page are drawn by its script."),
        element("script", _json(packed.figures), type="application/json", id="pellucid-figures"),
        *(element("script", text, type="text/plain", class_="array") for text in _texts(packed)),
        element("script", code, type="module"),
    )
    return document(
        title, Html("".join(body)), Html(_policy(code) + element("style", Html(_STYLE)))
    )


def _policy(code: str) -> Html:
    """Only this script, by its hash; styles may be inline, as nothing that they name can load."""
    digest = b64encode(sha256(code.encode()).digest()).decode()
    rules = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Html(f'<meta http-equiv="Content-Security-Policy" content="{rules}">')


def _json(figures: list[dict[str, Any]]) -> Html:
    """JSON that holds no `<`, so neither an end tag nor a comment begins in it."""
    text = json.dumps({"figures": figures}, ensure_ascii=False, allow_nan=False)
    return Html(text.replace("<", "\\u003c"))


def _texts(packed: Packed) -> Iterable[Html]:
    for array in packed.arrays:
        yield Html(b64encode(_deflated(array)).decode("ascii"))


def _deflated(array: npt.NDArray[Any]) -> bytes:
    """A zlib stream; numbers that look like noise are stored, as trying costs most of the time."""
    raw = array.reshape(-1).view(np.uint8).data
    trial = zlib.compress(raw[:_TRIED], 1)
    gains = len(trial) < _WORTH * min(len(raw), _TRIED)
    return zlib.compress(raw, 1 if gains else 0)
