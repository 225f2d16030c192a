"""The loop with a real model and its tokenizer: what the toys promise holds there too."""

from __future__ import annotations

from pathlib import Path

import pytest

from pellucid.backends.reference import Reference
from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request
from pellucid.model.model import Model
from pellucid.tokens.load import load_tokenizer
from pellucid.weights.checkpoint import open_checkpoint


@pytest.fixture(scope="module")
def engine(smollm2: Path) -> Engine:
    checkpoint = open_checkpoint(smollm2)
    return Engine(Model.open(checkpoint, Reference()), load_tokenizer(checkpoint))


PROMPTS = {
    "I skip across the": {"do_sample": True, "temperature": 0.4, "top_k": 10, "seed": 70},
    "The capital of France is": {"stop": [".", "\n"]},
    "Some emoji: 🙂🙃": {"repetition_penalty": 1.3},
    "1, 2, 3, 4,": {"min_new_tokens": 12},
}


def requests(engine: Engine) -> list[Request]:
    encode = engine.tokenizer.encode  # type: ignore[union-attr]
    return [
        Request(encode(text), parameters(max_new_tokens=12, **given))
        for text, given in PROMPTS.items()
    ]


def test_a_batch_gives_each_prompt_what_it_gets_alone(engine: Engine) -> None:
    together = engine.generate(requests(engine))
    alone = [engine.generate([request])[0] for request in requests(engine)]
    assert [a.ids for a in together] == [a.ids for a in alone]
    assert [a.text for a in together] == [a.text for a in alone]
    assert together[1].text.strip() == "Paris"
    assert together[3].text.startswith(" 5, 6, 7")


def test_streamed_pieces_are_the_text_that_the_tokenizer_decodes(engine: Engine) -> None:
    wanted = requests(engine)
    pieces = [""] * len(wanted)
    for event in engine.run(wanted):
        pieces[event.index] += event.text
        if event.generation and not wanted[event.index].parameters.stop:
            decoded = engine.tokenizer.decode(list(event.generation.ids))  # type: ignore[union-attr]
            assert pieces[event.index] == event.generation.text == decoded
