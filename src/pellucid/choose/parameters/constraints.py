"""What form the answer has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.sources import LONGEST, Choices, JsonSchema, Source
from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import Text
from pellucid.errors import ParameterError

CONSTRAINTS = ("json_schema", "regex", "grammar", "choice")  # at most one of them


@dataclass(frozen=True, repr=False)
class Constraints:
    """The rows about the form of an answer.

    `json_schema` and `grammar` have the names of llama.cpp's server, `regex` and `choice` those of
    vLLM's structured outputs.
    """

    heading: ClassVar[str] = "Form of the answer"

    json_schema: str | None = row(
        JsonSchema(),
        'answer with JSON of this schema; "{}" is any JSON, "object" any JSON object',
    )
    regex: str | None = row(
        Text(LONGEST), "answer with a text that this regular expression matches"
    )
    grammar: str | None = row(Source(), "answer in the language of this grammar, Lark or GBNF")
    choice: tuple[str, ...] | None = row(Choices(), "answer with this text, or one of several")

    @property
    def constraint(self) -> str | None:
        """Which of the rows is given."""
        return next((name for name in CONSTRAINTS if getattr(self, name) is not None), None)

    def check_constraints(self, stops: tuple[str, ...]) -> None:
        """Refuse two forms at once, and choices that a stop text cuts short, all of them."""
        given = [name for name in CONSTRAINTS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ParameterError(given[0], f"excludes {given[1]}: give one of the two")
        if self.choice and all(any(stop in text for stop in stops) for text in self.choice):
            raise ParameterError("choice", "every text holds a stop text, so none can be answered")
