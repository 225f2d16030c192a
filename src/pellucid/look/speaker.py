"""Requests to an engine, and their answers as views, which can be gone on from."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cached_property
from typing import Any

from pellucid.choose.branch import Branch
from pellucid.choose.parameters import parameters
from pellucid.engine.engine import Engine, Request, checked_ids
from pellucid.engine.generation import Event, Generation
from pellucid.engine.opened import Opened
from pellucid.engine.recent import Recent
from pellucid.errors import ParameterError
from pellucid.look.generation import GenerationView
from pellucid.look.lexicon import Lexicon
from pellucid.look.streams import Stream, Streams
from pellucid.model.probe import Edit


class Speaker:
    """A model under some edits, as it answers; what its last answers computed is held."""

    def __init__(self, opened: Opened, edits: Sequence[Edit] = ()) -> None:
        self.edits = tuple(edits)
        self.recent = Recent()
        self._opened = opened

    @cached_property
    def lexicon(self) -> Lexicon:
        """Tokens as a person names them."""
        return Lexicon(self._opened.tokenizer)

    def request(
        self, ids: list[int], draft: object, given: dict[str, Any], branch: Branch | None = None
    ) -> Request:
        """A request of these generation parameters. `draft` is a model as `pellucid.load` gives it,
        or None; what it guesses is as it would be without edits. Raises ParameterError.
        """
        guessing = _engine(draft)
        asked = parameters(**given)
        branch = branch or self._opened.engine.new_branch()
        return Request(ids, asked, branch=branch, draft=guessing, edits=self.edits)

    def stream(self, request: Request, events: Generator[Event, None, None]) -> Stream:
        """The answer to a request, of what its engine says."""
        return Stream(self.streams([request], events))

    def streams(self, requests: Sequence[Request], events: Generator[Event, None, None]) -> Streams:
        """The answers to several requests."""

        def ended(index: int, generation: Generation) -> GenerationView:
            branch = requests[index].branch
            assert branch
            self.recent.keep(branch)
            return self._view(generation)

        return Streams(events, len(requests), ended)

    def _view(self, generation: Generation) -> GenerationView:
        pieces = [self.lexicon.bytes_of(token) for token in generation.ids]
        others = [self._view(other) for other in generation.alternatives]
        return GenerationView(generation, pieces, alternatives=others, go_on=self._go_on)

    def _go_on(
        self,
        ids: Sequence[int],
        token: int | str | None,
        *,
        draft: object = None,
        **given: Any,
    ) -> GenerationView:
        """Continue these ids and a token, from what was computed of them."""
        more = [] if token is None else self.lexicon.ids(token)
        more = checked_ids("token", more, self._opened.config.vocab_size)
        grown = self._opened.ids([*ids, *more])
        request = self.request(grown, draft, given, self.recent.fork(grown))
        return self.stream(request, self._opened.engine.run([request])).finish()


def _engine(draft: object) -> Engine | None:
    """The engine of a model that guesses."""
    if draft is None:
        return None
    engine = getattr(draft, "engine", None)
    if not isinstance(engine, Engine):
        reason = f"must be a model as pellucid.load gives it, not {type(draft).__name__}"
        raise ParameterError("draft", reason)
    if getattr(draft, "edits", ()):
        raise ParameterError("draft", "is changed by edits, which has no effect on an answer")
    return engine
