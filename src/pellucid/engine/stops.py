"""Stop strings: text is held back while its end could begin one, and cut where one stands."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self


class StopStrings:
    """Text goes in as it is made, and comes out as soon as no stop string can begin in it.

    The stop string that is complete first ends the text; of several complete at the same
    character, the longest. So the result does not depend on how the text is cut into pieces.

    >>> stops = StopStrings(["END"])
    >>> stops.push("The E"), stops.push("N"), stops.push("ough EN"), stops.push("D."), stops.stopped
    ('The ', '', 'ENough ', '', True)
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.stopped = False
        self._matchers = [_Matcher(text) for text in texts]
        self._held = ""

    def push(self, text: str) -> str:
        """What may be shown now that `text` has come; nothing more once a stop has been found."""
        if not self._matchers:
            return text
        if self.stopped:
            return ""
        for place, character in enumerate(text):
            complete = [m.text for m in self._matchers if m.push(character)]
            if complete:
                self.stopped = True
                seen, self._held = self._held + text[: place + 1], ""
                return seen[: -max(map(len, complete))]
        return self._release(self._held + text)

    def flush(self) -> str:
        """What was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held

    def fork(self) -> Self:
        """A second one at the same place, to go on from by itself."""
        twin = copy.copy(self)
        twin._matchers = [copy.copy(matcher) for matcher in self._matchers]
        return twin

    def _release(self, text: str) -> str:
        begun = max((m.matched for m in self._matchers), default=0)
        self._held = text[len(text) - begun :]
        return text[: len(text) - begun]


class _Matcher:
    """Finds one text in a stream of characters (Knuth, Morris and Pratt 1977).

    `matched` characters of the text stand at the end of the stream: just what must be held back.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.matched = 0
        self._fall = [0]  # [i]: how much is still matched when i + 1 characters were
        for character in text[1:]:
            self._fall.append(self._next(self._fall[-1], character))

    def push(self, character: str) -> bool:
        """Whether the text is complete with this character."""
        self.matched = self._next(self.matched, character)
        return self.matched == len(self.text)

    def _next(self, matched: int, character: str) -> int:
        while matched and self.text[matched] != character:
            matched = self._fall[matched - 1]
        return matched + (self.text[matched] == character)
