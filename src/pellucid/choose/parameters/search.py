"""Several sequences at once: how many are followed, how they are ranked, how many are returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.choose.parameters.forced import Forced, Phrase
from pellucid.choose.parameters.table import row
from pellucid.choose.parameters.values import FlagOr, Integer, Number, Texts
from pellucid.errors import ParameterError

_MOST_CONTINUATIONS = 4096  # of all beams in one step: each is a node of the tree
MOST_SEQUENCES = 128  # followed at once; each holds keys and values of its own


@dataclass(frozen=True, repr=False)
class Search:
    """The rows about search."""

    heading: ClassVar[str] = "Search"

    num_return_sequences: int | None = row(
        Integer(1, MOST_SEQUENCES),
        "return this many answers: the first as without it, the others as alternatives",
        neutral=1,
    )
    num_beams: int | None = row(
        Integer(1, MOST_SEQUENCES),
        "beam search: follow this many sequences at once and answer with the likeliest as a whole; "
        "with sampling, what they go on with is drawn",
        neutral=1,
    )
    length_penalty: float | None = row(
        Number(-10, 10),
        "rank finished beams by their log-probability divided by their length to this power: "
        "more favours longer ones",
        neutral=1.0,
        needs=("num_beams",),
    )
    early_stopping: bool | str | None = row(
        FlagOr("never"),
        "end the search when num_beams sequences are finished (true), when nothing better is "
        "likely (false, the default), or when nothing better is possible (never)",
        neutral=False,
        needs=("num_beams",),
    )
    num_beam_groups: int | None = row(
        Integer(1, MOST_SEQUENCES),
        "share the beams out to so many groups, which diversity_penalty keeps apart",
        neutral=1,
        needs=("num_beams",),
    )
    diversity_penalty: float | None = row(
        Number(0, 1000),
        "subtract this from the log-probability of a token for each beam of an earlier group that "
        "takes it at the same place",
        neutral=0.0,
        needs=("num_beam_groups",),
    )
    force_words: tuple[str, ...] | None = row(
        Texts(),
        "this text must stand in the prompt or the answer, as it is or after a space",
        needs=("num_beams",),
    )
    force_words_ids: tuple[Phrase, ...] | None = row(
        Forced(),
        "these tokens must stand in the prompt or the answer, or one of several such lists",
        needs=("num_beams",),
    )
    best_of: int | None = row(
        Integer(1, MOST_SEQUENCES),
        "draw this many answers and return the likeliest, by the mean log-probability of a token",
        neutral=1,
    )

    def check_search(self, sampling: bool) -> None:
        """Refuse more answers than are followed, and what does not go together."""
        beams, drawn, wanted = self.num_beams or 1, self.best_of or 1, self.num_return_sequences
        for name, followed in (("num_beams", beams), ("best_of", drawn)):
            if followed > 1 and wanted and wanted > followed:
                raise ParameterError("num_return_sequences", f"must be at most {name}, {followed}")
        if drawn > 1:
            self._check_best_of(sampling)
        if beams == 1 and not sampling and (wanted or 1) > 1:
            reason = "has no effect without sampling or num_beams: all would be the same"
            raise ParameterError("num_return_sequences", reason)
        self._check_groups()
        grouped = ["num_beam_groups"] if (self.num_beam_groups or 1) > 1 else []
        led = [name for name in ("force_words", "force_words_ids") if getattr(self, name)]
        if led and grouped:
            raise ParameterError(led[0], "excludes num_beam_groups: give one of the two")
        for name in led + grouped:
            if sampling:
                raise ParameterError(name, "excludes sampling: its beams take the likeliest")

    def check_ends(self, ends: int) -> None:
        """Refuse beams that would have to look at too many tokens to pass by all `ends`."""
        beams = self.num_beams or 1
        if beams > 1 and beams * (1 + ends) > _MOST_CONTINUATIONS:
            most = _MOST_CONTINUATIONS // beams - 1
            reason = f"{ends} tokens end the answer; {beams} beams go together with {most} at most"
            raise ParameterError("stop_token_ids", reason)

    def _check_best_of(self, sampling: bool) -> None:
        if (self.num_beams or 1) > 1:
            raise ParameterError("best_of", "excludes num_beams: give one of the two")
        if not sampling:
            reason = "has no effect without sampling; give do_sample=True too"
            raise ParameterError("best_of", reason)

    def _check_groups(self) -> None:
        beams, groups = self.num_beams or 1, self.num_beam_groups or 1
        if beams % groups:
            raise ParameterError("num_beam_groups", f"must divide num_beams, {beams}, not {groups}")
        if groups > 1 and not self.diversity_penalty:
            raise ParameterError("num_beam_groups", "has no effect without diversity_penalty")
