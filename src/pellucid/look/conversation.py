"""A conversation that grows: each turn computes only what is new."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Protocol

from pellucid.engine.engine import Engine
from pellucid.engine.generation import Event
from pellucid.look.speaker import Speaker
from pellucid.look.streams import Stream
from pellucid.tokens.conversation import Message


class Model(Protocol):
    """What a conversation needs of a model; `pellucid.lm.LM` is one."""

    name: str
    _speaker: Speaker

    @property
    def engine(self) -> Engine:
        """The generation loop."""

    def chat_ids(self, messages: Sequence[Message]) -> list[int]:
        """What the model sees of a conversation."""


class Conversation:
    """A conversation that grows: each turn computes only what is new.

    `messages` holds what was said, and may be edited between turns.
    """

    def __init__(self, lm: Model, system: str | None = None) -> None:
        self.lm = lm
        self.messages: list[Message] = []
        if system is not None:
            self.messages.append({"role": "system", "content": system})
        self._branch = lm.engine.new_branch()

    def say(self, text: str, *, draft: Any = None, **given: Any) -> Stream:
        """Say something, and hear the answer as it comes.

        What was answered until the stream ends or is closed joins `messages`, so that an
        interrupted conversation goes on from what was seen. The others as in `LM.generate`.
        """
        asked: Message = {"role": "user", "content": text}
        ids = self.lm.chat_ids([*self.messages, asked])
        request = self.lm._speaker.request(ids, draft, given, self._branch)
        return self.lm._speaker.stream(request, self._hear(asked, self.lm.engine.run([request])))

    def clear(self) -> None:
        """Forget everything but the system message."""
        self.messages = [m for m in self.messages[:1] if m["role"] == "system"]

    def undo(self) -> None:
        """Forget the last question and its answer."""
        while self.messages and self.messages[-1]["role"] != "system":
            if self.messages.pop()["role"] == "user":
                return

    def _hear(self, asked: Message, events: Iterator[Event]) -> Generator[Event, None, None]:
        answer = ""
        try:
            for event in events:
                answer += "" if event.line else event.text  # of several answers, the first
                yield event
        finally:
            self.messages += [asked, {"role": "assistant", "content": answer}]
