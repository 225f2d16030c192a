"""An answer by hand: the text so far, and what may come next; any token can be picked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.parameters.values import Integer
from pellucid.engine.answer import made
from pellucid.engine.generation import FinishReason
from pellucid.engine.stepper import Stepper
from pellucid.errors import ParameterError
from pellucid.look import html, terminal
from pellucid.look.ledger import TOP, LedgerView
from pellucid.look.lexicon import Lexicon
from pellucid.look.numbers import percent, rest
from pellucid.look.view import View

if TYPE_CHECKING:
    from rich.console import RenderableType

_TAIL = 64  # tokens of prompt and answer that stand above the table


@dataclass(frozen=True)
class Option:
    """A token that may come next: the model's own probability and rank, and those after the
    filters, 0 where one `removed_by` them.
    """

    id: int
    bytes: bytes
    prob: float
    rank: int
    processed_prob: float
    removed_by: str | None

    def to_dict(self) -> dict[str, Any]:
        """`id, text, prob, rank, processed_prob, removed_by`."""
        told = asdict(self)
        text = told.pop("bytes").decode("utf-8", "replace")
        return {"id": told.pop("id"), "text": text, **told}


class Walk(View):
    """An answer that grows as it is told; printed, it shows where it is and what may come next.

    Picking, drawing and taking back return the walk itself, so that each can be seen at once.
    Nothing is computed twice. One that only samples says what a generation of the same parameters
    and seed says.
    """

    def __init__(self, stepper: Stepper, lexicon: Lexicon, *, top: int = 10) -> None:
        self.top = TOP.check("top", top)
        self._stepper = stepper
        self._lexicon = lexicon

    @property
    def text(self) -> str:
        """The answer, if it ended here."""
        answer = self._stepper.answer()
        if not answer.finish_reason:
            answer.finish("length")
        return answer.text

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens so far; the last may be one that ended the answer."""
        return self._stepper.ids

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The tokens before the answer."""
        return self._stepper.prompt_ids

    @property
    def parameters(self) -> GenerationParameters:
        """All parameters, resolved."""
        return self._stepper.parameters

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer is over; None while it is not."""
        return self._stepper.answer().finish_reason

    def candidates(self, top: int | None = None) -> list[Option]:
        """What may come next: the `top` likeliest of the model (`Walk.top` unless given), and after
        the filters the likeliest that are others. None where the answer is over.

        Raises ParameterError where the filters leave nothing.
        """
        top = self.top if top is None else TOP.check("top", top)
        if self._stepper.over:
            return []
        ledger = self._stepper.candidates(top)
        own, last = ledger.entries[0], ledger.entries[-1]
        columns = zip(
            ledger.ids.tolist(), own.probs.tolist(), own.ranks.tolist(), last.probs.tolist(),
            ledger.removed_by, strict=True,
        )  # fmt: skip
        return [
            Option(token, self._lexicon.bytes_of(token), prob, rank, processed, removed_by)
            for token, prob, rank, processed, removed_by in columns
        ]

    def pick(self, token: int | str) -> Walk:
        """Say a token by its id or text, whatever the filters would leave of it; a text of several
        tokens is said as these.

        Raises ParameterError where the answer is over, where no tokens make this text, and for
        what the form of the answer (`json_schema` ...) excludes.
        """
        said = 0
        try:
            for one in self._lexicon.ids(token):
                self._stepper.pick(one)
                said += 1
        except ParameterError:
            if said:
                self._stepper.back(said)
            raise
        return self

    def sample(self, count: int = 1) -> Walk:
        """Choose the next `count` tokens as a generation would, or as many as the answer has."""
        for _ in self.stream(count):
            pass
        return self

    def stream(self, count: int) -> Iterator[str]:
        """The same, piece by piece as the text is made."""
        answer = self._stepper.answer()
        for _ in range(Integer(1, 2**31 - 1).check("count", count)):
            yield answer.take(self._stepper.sample()).text
            if answer.finish_reason:
                return

    def back(self, count: int = 1) -> Walk:
        """Take back the last tokens; draws go on, so that another may be drawn."""
        self._stepper.back(count)
        return self

    def set(self, **given: Any) -> Walk:
        """Change parameters from here on; None takes one back.

        Raises ParameterError for what cannot be, and leaves all as it was.
        """
        self._stepper.set(**given)
        return self

    def fork(self) -> Walk:
        """A second one with the same past, which goes on by itself."""
        return Walk(self._stepper.fork(), self._lexicon, top=self.top)

    def why(self, at: int = -1, *, top: int = 5) -> LedgerView:
        """Why a token was chosen: the last, or that `at` a place of the answer."""
        says = self._stepper.says
        if not says:
            raise ParameterError("at", "there is no token yet")
        place = Integer(-len(says), len(says) - 1).check("at", at) % len(says)
        say = says[place]
        if say.ledger is None:
            raise ParameterError("ledger", "0 keeps nothing that could be shown")
        bytes_of = self._lexicon.bytes_of
        token = made(say, bytes_of(say.token).decode("utf-8", "replace"))
        return LedgerView(token, bytes_of, at=place, top=top)

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: docs/json.md."""
        answer = self._stepper.answer()
        return {
            "text": self.text,
            "ids": list(self.ids),
            "prompt_ids": list(self.prompt_ids),
            "finish_reason": answer.finish_reason,
            "tokens": [token.to_dict() for token in answer.tokens],
            "seed": self.parameters.seed,
            "candidates": [option.to_dict() for option in self.candidates()],
        }

    def terminal(self) -> RenderableType:
        text = terminal.Running(self._tinted())
        over = self._over
        if over:
            return terminal.stack(text, terminal.words(over))
        options = self.candidates()
        rows: list[list[RenderableType]] = [
            [*before, terminal.piece(option.bytes), *after, terminal.bar(option.processed_prob)]
            for option, before, after in self._rows(options)
        ]
        note = terminal.words((self._rest(options), terminal.QUIET))
        return terminal.stack(text, terminal.table(self._headings, rows), note)

    def html(self) -> str:
        pieces = (
            html.piece(text, class_=None if style == terminal.QUIET else "t0" if style else None)
            for text, style in self._tinted()
        )
        text, over = html.running(pieces), self._over
        if over:
            return html.fragment(text, html.element("p", over))
        options = self.candidates()
        rows = [
            [*before, html.piece(option.bytes), *after, html.bar(option.processed_prob)]
            for option, before, after in self._rows(options)
        ]
        table = html.table(self._headings, rows, "What may come next")
        return html.fragment(text, table, html.element("p", self._rest(options), class_="quiet"))

    @property
    def _over(self) -> str:
        reason = self.finish_reason
        return (reason and f"The answer is over: {reason}.") or ""

    def _tinted(self) -> list[tuple[bytes, str]]:
        """The end of prompt and answer, each piece with its style."""
        styled = [(token, terminal.QUIET) for token in self.prompt_ids]
        styled += [(token, terminal.TINTS[0]) for token in self.ids]
        return [(self._lexicon.bytes_of(token), style) for token, style in styled[-_TAIL:]]

    @property
    def _filtered(self) -> bool:
        """Whether there are filters between the model and the choice."""
        return self._stepper.filtered

    @property
    def _headings(self) -> tuple[str, ...]:
        if not self._filtered:
            return ("##", "#id", "token", "#probability", "")
        return ("##", "#id", "token", "#model's own", "#after filters", "", "")

    def _rows(
        self, options: Sequence[Option]
    ) -> Iterator[tuple[Option, tuple[str, str], tuple[str, ...]]]:
        for number, option in enumerate(options, 1):
            after: tuple[str, ...] = (percent(option.prob),)
            if self._filtered:
                removed = option.removed_by
                now = "" if removed else percent(option.processed_prob)
                after += (now, removed or "")
            yield option, (str(number), str(option.id)), after

    def _rest(self, options: Sequence[Option]) -> str:
        """What is said of all other tokens."""
        told = f"All others have {percent(rest(option.prob for option in options))}"
        if self._filtered:
            left = rest(option.processed_prob for option in options)
            told += f", after the filters {percent(left)}"
        return f"{told}."
