"""The filter that holds an answer to a form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.choose import grammar as grammars
from pellucid.choose.candidates import Candidates
from pellucid.choose.filters.filter import Context, Filter
from pellucid.choose.grammar import Grammar, Progress
from pellucid.choose.parameters.constraints import CONSTRAINTS
from pellucid.errors import ParameterError

if TYPE_CHECKING:
    from pellucid.choose.setting import Setting


def constraint(
    candidates: Candidates, context: Context, progress: Progress, grammar: Grammar
) -> Candidates:
    """Keep the tokens after which the answer can still become what was asked for.

    A token that ends the answer is kept just where it may end. What is left keeps its
    proportions, so each step is the model's own distribution under the condition that the text
    so far can be completed; the answer as a whole is not (Park et al. 2024, arXiv:2405.21047).
    """
    allowed = progress.allowed(context.vocab_size)
    return candidates.where(allowed if candidates.ids is None else allowed[candidates.ids])


def prepare(
    json_schema: str | None,
    regex: str | None,
    grammar: str | None,
    choice: tuple[str, ...] | None,
) -> tuple[Grammar]:
    """The grammar of the one that is given."""
    if json_schema is not None:
        return (grammars.from_json_schema(json_schema),)
    if regex is not None:
        return (grammars.from_regex(regex),)
    if grammar is not None:
        return (grammars.from_lark(grammar),)
    assert choice, "the filter acts where one of the four is given"
    return (grammars.from_choice(choice),)


def follow(setting: Setting, grammar: Grammar) -> Progress:
    """What goes along with a branch. Raises ParameterError for what no answer can meet."""
    if setting.vocabulary is None:
        raise ParameterError(grammar.parameter, "needs a tokenizer, and this engine has none")
    guide, choice = setting.vocabulary.guide, setting.parameters.choice
    most = setting.parameters.max_new_tokens or 0
    if choice and all(guide.fewest(text, most) is None for text in choice):
        raise ParameterError(
            "choice", f"no text can be spelled in the {most} tokens that may follow"
        )
    return grammars.begin(grammar, guide, setting.stop_ids.tolist())


ROWS = (Filter(constraint, CONSTRAINTS, state=follow, prepare=prepare, switches=CONSTRAINTS),)
