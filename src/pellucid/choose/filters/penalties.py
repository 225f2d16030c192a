"""Filters that hold it against a token that it was used."""

from __future__ import annotations

from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.vocabulary import Ids


def repetition_penalty(
    candidates: Candidates, context: Context, penalty: float, last: int | None = None
) -> Candidates:
    """Divide what speaks for a token that was used, multiply what speaks against it.

    CTRL (Keskar et al. 2019, arXiv:1909.05858), with transformers' sign rule; prompt and answer
    count alike, however often a token stands there.
    """
    return candidates.penalised(_window(context.ids, last), penalty)


def encoder_repetition_penalty(
    candidates: Candidates, context: Context, penalty: float
) -> Candidates:
    """Multiply what speaks for a token of the prompt, divide what speaks against it.

    transformers' inverse of the repetition penalty, for answers that should keep to a text.
    """
    return candidates.penalised(context.prompt, 1 / penalty)


def frequency_penalty(
    candidates: Candidates, context: Context, penalty: float, last: int | None = None
) -> Candidates:
    """Subtract the penalty for each time that a token stands in the answer (OpenAI's formula)."""
    return candidates.lowered(_said(context, last), each=penalty)


def presence_penalty(
    candidates: Candidates, context: Context, penalty: float, last: int | None = None
) -> Candidates:
    """Subtract the penalty once from every token of the answer (OpenAI's formula)."""
    return candidates.lowered(_said(context, last), once=penalty)


def _said(context: Context, last: int | None) -> Ids:
    """What OpenAI's penalties count: the answer, or llama.cpp's window over the prompt too."""
    return context.output if last is None else _window(context.ids, last)


def _window(ids: Ids, last: int | None) -> Ids:
    """The last ids, so many; None and -1 mean all."""
    return ids if last is None or last < 0 else ids[max(0, len(ids) - last) :]


ROWS = (
    Filter(encoder_repetition_penalty, ("encoder_repetition_penalty",)),
    Filter(repetition_penalty, ("repetition_penalty", "repeat_last_n")),
    Filter(frequency_penalty, ("frequency_penalty", "repeat_last_n")),
    Filter(presence_penalty, ("presence_penalty", "repeat_last_n")),
)
