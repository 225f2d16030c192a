"""`pellucid generate`: a text continued."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from pellucid.cli.options import load, print_json, ready, running, text_argument
from pellucid.cli.sampling import Grouped, generation, sampling
from pellucid.cli.stream import explain_cut, remark, write_answers

if TYPE_CHECKING:
    from pellucid.engine.prompt import Said


@click.command(cls=Grouped)
@text_argument
@sampling
@running
def generate(text: Said, as_json: bool, **options: Any) -> None:
    """Continue TEXT, piece by piece as the model answers.

    Giving --temperature, --top-k, --top-p or the like means sampling; giving none of them takes
    the likeliest token each time. A TEXT of - is read from standard input.
    """
    given = generation(options)
    lm = ready(load(options))
    stream = lm.stream(text, **given)
    if as_json:
        print_json(stream.finish().to_dict())
        return
    before = text if isinstance(text, str) else ""  # an answer does not go on from a question
    write_answers(stream, given["num_return_sequences"], before=before)
    answer = stream.finish()
    seed, asked = answer.seed, given["max_new_tokens"] or given["max_length"]
    if sys.stderr.isatty() and not asked:
        explain_cut(answer)
    if seed is not None and given["seed"] is None and sys.stdout.isatty():
        remark(f"--seed {seed} repeats this")
