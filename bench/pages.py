"""All attention of a text as one page: by Pellucid, and by transformers with bertviz."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bench.files import ModelFile
from bench.measure import OURS, Result, in_turns, reason, seconds
from bench.peers.transformers import library
from bench.text import ids as text_ids
from pellucid.lm import load

_TOKENS = 512
_TURNS = 2  # at most: a page of bertviz takes a minute, and 1.9 GB
_BERTVIZ = "transformers float32 and bertviz"

Draw = Callable[[], str]


def page(file: ModelFile, threads: int, repeats: int, tokens: int = _TOKENS) -> list[Result]:
    """Seconds and megabytes of a page with every head's pattern over 512 tokens: the model is
    loaded already; it is run, its attention kept, and the page written.
    """
    ids = text_ids(file, tokens)
    sizes: dict[str, list[float]] = {}
    runs: dict[str, Callable[[], float]] = {}
    skipped: dict[str, str] = {}
    for name, ready in ((OURS, _pellucid), (_BERTVIZ, _bertviz)):
        try:
            draw = ready(file, threads, ids)
        except Exception as error:  # a peer may raise anything; the others go on
            skipped[name] = reason(error)
            continue
        if isinstance(draw, str):
            skipped[name] = draw
            continue
        runs[name] = _timed(draw, sizes.setdefault(name, []))
    values, failed = in_turns(runs, min(repeats, _TURNS))
    name = f"attention of {tokens} tokens as a page"
    told = skipped | failed
    return [
        Result(file.name, name, "s", False, values, told),
        Result(file.name, f"{name}, size", "MB", False, sizes, told),
    ]


def _timed(draw: Draw, sizes: list[float]) -> Callable[[], float]:
    def run() -> float:
        made: list[str] = []
        taken = seconds(lambda: made.append(draw()))
        sizes.append(len(made[0].encode()) / 1e6)
        return taken

    return run


def _pellucid(file: ModelFile, threads: int, ids: Sequence[int]) -> Draw | str:
    lm = load(file.path(), threads=threads)
    lm.look(ids[:8]).attention().page()  # weights are read, and the plan for watching is made
    return lambda: lm.look(ids).attention().page()


def _bertviz(file: ModelFile, threads: int, ids: Sequence[int]) -> Draw | str:
    missing = [name for name in ("transformers", "torch", "bertviz") if not find_spec(name)]
    if missing:
        return f"{' and '.join(missing)} not installed"
    if not file.alias:
        return "has no copy of a file of one's own"
    torch: Any = import_module("torch")
    torch.set_num_threads(threads)
    folder = str(file.copy())
    auto = library()
    model = auto.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    tokenizer = auto.AutoTokenizer.from_pretrained(folder)
    view = import_module("bertviz").head_view

    def draw() -> str:
        with torch.inference_mode():
            kept = model.eval()(torch.tensor([ids]), output_attentions=True).attentions
        tokens = tokenizer.convert_ids_to_tokens(list(ids))
        text: str = view(kept, tokens, html_action="return").data
        return text

    return draw
