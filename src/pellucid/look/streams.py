"""Answers as they come: their pieces, and then the whole."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from pellucid.engine.generation import Event, Generation
from pellucid.errors import ParameterError
from pellucid.look.generation import GenerationView
from pellucid.look.generations import GenerationsView


class Streams(Iterator[tuple[int, str]]):
    """Answers to several prompts as they come: which prompt's, and a piece of it.

    Of several answers to one prompt, the pieces are the first one's; the others come with the
    whole. Each of `generations` is None until that answer has ended: then `ended` makes it, of the
    number of its prompt and the result. Closing ends all where they are.
    """

    def __init__(
        self,
        events: Generator[Event, None, None],
        count: int,
        ended: Callable[[int, Generation], GenerationView],
    ) -> None:
        self.generations: list[GenerationView | None] = [None] * count
        self._events = events
        self._ended = ended

    def __next__(self) -> tuple[int, str]:
        for event in self._events:
            if event.generation:
                self.generations[event.index] = self._ended(event.index, event.generation)
            if event.text and not event.line:
                return event.index, event.text
        raise StopIteration

    def finish(self) -> GenerationsView:
        """The whole answers; what is still to come is waited for."""
        for _ in self:
            pass
        ended = [generation for generation in self.generations if generation is not None]
        if len(ended) < len(self.generations):
            raise ParameterError("stream", "was closed before the answer had ended")
        return GenerationsView(ended)

    def close(self) -> None:
        """End the answers where they are."""
        self._events.close()


class Stream(Iterator[str]):
    """An answer as it comes: its pieces, and then the whole. Closing ends it where it is."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    @property
    def generation(self) -> GenerationView | None:
        """The whole; None until the answer has ended."""
        return self._streams.generations[0]

    def __next__(self) -> str:
        return next(self._streams)[1]

    def finish(self) -> GenerationView:
        """The whole answer; what is still to come is waited for."""
        (generation,) = self._streams.finish()
        return generation

    def close(self) -> None:
        """End the answer where it is."""
        self._streams.close()
