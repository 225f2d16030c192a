"""How one token was chosen: what the model said, what each filter did, and where the draw fell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pellucid.choose.ledger import Entry, Ledger
from pellucid.choose.parameters.values import Integer
from pellucid.engine.generation import GeneratedToken
from pellucid.look import html, terminal
from pellucid.look.figure import Figure
from pellucid.look.html import Html
from pellucid.look.numbers import percent
from pellucid.look.view import View
from pellucid.look.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

TOP = Integer(1, 1000)  # candidates of a choice that can be listed

_CHOSEN = "→"
_CELLS = 58  # of a line of 80 are left for probabilities


@dataclass(frozen=True)
class Candidate:
    """A token that could have been chosen.

    `probs` and `ranks` are after the model and after each filter: 0 once it is removed.
    """

    id: int
    piece: bytes
    probs: tuple[float, ...]
    ranks: tuple[int, ...]
    removed_by: str | None

    def to_dict(self) -> dict[str, Any]:
        """`id, text, probs[], ranks[], removed_by`."""
        return {
            "id": self.id,
            "text": self.piece.decode("utf-8", "replace"),
            "probs": list(self.probs),
            "ranks": list(self.ranks),
            "removed_by": self.removed_by,
        }


class LedgerView(View):
    """The ledger of one token: a sentence that says why it was chosen, and a table.

    `at` is the token's place in the answer, `bytes_of` gives the bytes of any token. The table has
    the `top` candidates of the model, the likeliest after all filters, and the chosen one. Needs a
    token whose ledger was kept.
    """

    def __init__(
        self, token: GeneratedToken, bytes_of: Callable[[int], bytes], *, at: int = 0, top: int = 5
    ) -> None:
        assert token.ledger
        self.token = token
        self.ledger: Ledger = token.ledger
        self.at = at
        self.top = top
        self._bytes_of = bytes_of

    @property
    def steps(self) -> tuple[Entry, ...]:
        """The model's own distribution, then what each filter made of it."""
        return self.ledger.entries

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The rows of the table, in the model's order."""
        ledger, last = self.ledger, self.steps[-1]
        shown = [
            place
            for place, token in enumerate(ledger.ids.tolist())
            if place < self.top or token == ledger.token or last.ranks[place] == 1
        ]
        probs = [entry.probs for entry in self.steps]
        removed_by = ledger.removed_by
        return tuple(
            Candidate(
                token := int(ledger.ids[place]),
                self._bytes_of(token),
                tuple(float(of_step[place]) for of_step in probs),
                tuple(int(entry.ranks[place]) for entry in self.steps),
                removed_by[place],
            )
            for place in shown
        )

    @cached_property
    def others(self) -> tuple[float, ...]:
        """The probability of all tokens that are no row of the table, after each step."""
        listed = [0.0] * len(self.steps)
        for i, entry in enumerate(self.steps):
            kept = [c.probs[i] for c in self.candidates if c.ranks[i]]
            if len(kept) < entry.left:  # else what a sum lacks of 1 is rounding
                listed[i] = max(0.0, 1.0 - math.fsum(kept))
        return tuple(listed)

    @property
    def piece(self) -> bytes:
        """What the token stands for."""
        return self._bytes_of(self.token.id)

    @property
    def why(self) -> str:
        """Why this token, in a few plain sentences."""
        return visible(self.piece) + self.account

    @property
    def account(self) -> str:
        """The same, but for the token that it begins with."""
        (place,) = (self.ledger.ids == self.ledger.token).nonzero()[0].tolist()
        first = self.steps[0]
        prob = percent(float(first.probs[place]))
        told = "; ".join(self._changes(place))
        changes = f" {told}." if told else ""
        said = f" had {prob} of the model's probability, rank {first.ranks[place]:,}."
        return f"{said}{changes} {self._end(place)}{self._guess()}"

    def _changes(self, place: int) -> Iterator[str]:
        """What each filter did, where it did something that this token or its rivals felt."""
        for before, after in zip(self.steps, self.steps[1:], strict=False):
            was, now = float(before.probs[place]), float(after.probs[place])
            gone = before.left - after.left
            if gone:
                how_many = f"all but {after.left:,}" if after.left < gone else f"{gone:,}"
                yield f"{after.name} removed {how_many} of the tokens ({percent(after.removed)})"
            elif not _alike(was, now):
                way = "raised" if now > was else "lowered"
                yield f"{after.name} {way} it to {percent(now)}"

    def _end(self, place: int) -> str:
        last = self.steps[-1]
        prob = percent(float(last.probs[place]))
        if self.ledger.by_hand:
            remover = self.ledger.removed_by[place]
            return f"It was picked by hand{f', though {remover} had removed it' * bool(remover)}."
        draft = self.ledger.draft
        if draft and draft.accepted and draft.uniform is not None:
            return (
                f"The drafting model had drawn it with {percent(draft.prob)}, and it was accepted."
            )
        if last.left == 1:
            return "It was the only one left."
        if self.ledger.landed:
            low, high = self.ledger.landed
            drawn = f"The draw {self.ledger.uniform:.4f}"
            return f"{drawn} fell into its {prob}, which lie from {low:.4f} to {high:.4f}."
        if last.ranks[place] == 1:
            return f"It was taken as the likeliest{'' if len(self.steps) == 1 else ' left'}."
        return f"It was rank {last.ranks[place]:,} of what was left, taken for what follows it."

    def _guess(self) -> str:
        """What the choice said of a guess for this place."""
        draft = self.ledger.draft
        if draft is None or (draft.accepted and draft.uniform is not None):
            return ""
        if draft.accepted:
            return " It had been guessed."
        guessed = visible(self._bytes_of(draft.token))
        return f" {guessed} had been guessed with {percent(draft.prob)}, and was rejected."

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: docs/json.md."""
        draft = self.ledger.draft
        landed = self.ledger.landed
        draw = landed and {"uniform": self.ledger.uniform, "from": landed[0], "to": landed[1]}
        steps = [
            {"name": entry.name, "left": entry.left, "removed": entry.removed}
            for entry in self.steps
        ]
        return {
            "at": self.at,
            **self.token.to_dict(),
            "why": self.why,
            "draw": draw,
            "draft": draft and asdict(draft),
            "steps": steps,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }

    def terminal(self) -> RenderableType:
        tinted = terminal.piece(self.piece, terminal.TINTS[0])
        head = terminal.words((f"{self.at}  ", terminal.QUIET)).append(tinted).append(self.account)
        idle = [terminal.words((line, terminal.QUIET)) for line in self._idle()]
        return terminal.stack(head, *map(self._rows, self._parts()), *idle)

    def _rows(self, part: list[int]) -> Table:
        """The columns of some of the steps."""
        rows: list[list[RenderableType]] = []
        for candidate in self.candidates:
            chosen = candidate.id == self.token.id
            cells = list(self._cells(candidate))
            named = terminal.piece(candidate.piece, terminal.TINTS[0] if chosen else "")
            mark = _CHOSEN if chosen else ""
            rows.append([mark, named, str(candidate.ranks[0]), *(cells[i] for i in part)])
        for name, cells in self._sums():
            named = terminal.words((name, terminal.QUIET))
            rows.append(["", named, "", *(cells[i] for i in part)])
        names = (f"#{self.steps[i].name}" for i in part)
        return terminal.table(("", "token", "#rank", *names), rows)

    def html(self) -> str:
        return html.fragment(html.element("p", self.why), *self.details())

    def details(self) -> Iterator[Html]:
        """The table, as HTML, and what is to be said below it."""
        acting = self._acting
        rows: list[list[str]] = []
        for candidate in self.candidates:
            chosen = candidate.id == self.token.id
            cells = list(self._cells(candidate))
            named = html.piece(candidate.piece, class_="t0" if chosen else None)
            before = [_CHOSEN if chosen else "", named, str(candidate.ranks[0])]
            rows.append([*before, *(cells[i] for i in acting), _bar(candidate)])
        for name, cells in self._sums():
            named = html.element("span", name, class_="quiet")
            rows.append(["", named, "", *(cells[i] for i in acting), ""])
        names = (f"#{self.steps[i].name}" for i in acting)
        yield html.table(("", "token", "#rank", *names, ""), rows, "The candidates")
        for line in self._idle():
            yield html.element("p", line, class_="quiet")

    def figure(self) -> Figure:
        return figure_of([self])

    def drawn(self) -> dict[str, Any]:
        """What the drawing is given of it: the steps that act, and the candidates through them."""
        acting = self._acting
        return {
            "at": self.at,
            "token": visible(self.piece),
            "why": self.why,
            "steps": [
                {"name": self.steps[i].name, "left": self.steps[i].left,
                 "removed": self.steps[i].removed}
                for i in acting
            ],
            "candidates": [
                {"token": visible(c.piece), "chosen": c.id == self.token.id,
                 "probs": [c.probs[i] for i in acting], "ranks": [c.ranks[i] for i in acting],
                 "removedBy": c.removed_by}
                for c in self.candidates
            ],
            "idle": [*self._idle()],
        }  # fmt: skip

    @property
    def _acting(self) -> list[int]:
        """The steps that changed anything that is shown; the model's own is one."""
        steps = self.steps
        return [0] + [
            i
            for i in range(1, len(steps))
            if steps[i].left != steps[i - 1].left
            or any(not _alike(c.probs[i], c.probs[i - 1]) for c in self.candidates)
        ]

    def _parts(self) -> list[list[int]]:
        """The acting steps in as many tables as a terminal of 80 columns needs for their names."""
        parts: list[list[int]] = [[]]
        used = 0
        for i in self._acting:
            width = max(len(self.steps[i].name), len(percent(1))) + 2
            if parts[-1] and used + width > _CELLS:
                parts.append([])
                used = 0
            parts[-1].append(i)
            used += width
        return parts

    def _idle(self) -> Iterator[str]:
        """What is said of filters that are no columns."""
        acting = self._acting
        idle = [entry.name for i, entry in enumerate(self.steps) if i not in acting]
        if idle:
            yield f"No visible effect here: {', '.join(idle)}."

    def _cells(self, candidate: Candidate) -> Iterator[str]:
        """A probability for each step; the filter that removed it is named where it did."""
        gone = False
        for prob, rank in zip(candidate.probs, candidate.ranks, strict=True):
            yield percent(prob) if rank else "" if gone else "removed"
            gone = not rank

    def _sums(self) -> Iterator[tuple[str, list[str]]]:
        """The rows below the candidates: the others together, how many are left, what was cut."""
        yield "all others", [percent(share) for share in self.others]
        if len(self.steps) > 1:
            yield "tokens left", [f"{entry.left:,}" for entry in self.steps]
        if any(entry.removed for entry in self.steps):
            yield "cut away", [percent(e.removed) if e.removed else "" for e in self.steps]


def figure_of(ledgers: Sequence[LedgerView]) -> Figure:
    """The drawing of an answer's ledgers."""
    hint = (
        "Each line is a token that could have been chosen, from what the model said to what the"
        " filters left. Look which filter ends a line, and how much the others gain by it."
    )
    data = {"ledgers": [ledger.drawn() for ledger in ledgers]}
    return Figure("ledger", "Why each token was chosen", hint, data)


def _bar(candidate: Candidate) -> str:
    return "" if candidate.removed_by else html.bar(candidate.probs[-1])


def _alike(prob: float, other: float) -> bool:
    """Whether two probabilities are written alike."""
    return percent(prob) == percent(other)
