"""What a prompt may be: a text, token ids, or a conversation; and several of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

from pellucid.tokens.conversation import Message

Said = str | Sequence[Message]
Prompt = Said | Iterable[int]
Prompts = list[str] | list[list[int]] | list[list[Message]]


def messages_of(prompt: object) -> list[Message] | None:
    """The conversation, if this is one."""
    if isinstance(prompt, list | tuple) and prompt and isinstance(prompt[0], Mapping):
        return list(prompt)
    return None


def are_several(prompt: Prompt | Prompts) -> TypeGuard[Prompts]:
    """Whether these are prompts, and not the ids of one."""
    if not isinstance(prompt, list) or not prompt:
        return False
    return isinstance(prompt[0], str | list)
