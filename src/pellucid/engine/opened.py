"""A model's files, opened: each part is read when it is first asked for, and then shared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from pellucid.engine.engine import Engine, checked_ids
from pellucid.errors import ParameterError, TemplateError
from pellucid.model.backend import Backend
from pellucid.model.config import ModelConfig
from pellucid.model.describe import describe, longest
from pellucid.model.model import Model
from pellucid.tokens.conversation import Message
from pellucid.tokens.load import load_tokenizer
from pellucid.tokens.template import ChatTemplate, chat_template
from pellucid.tokens.tokenizer import Token, Tokenizer
from pellucid.weights.checkpoint import Checkpoint


class Opened:
    """What a checkpoint becomes on a backend."""

    def __init__(
        self, checkpoint: Checkpoint, backend: Backend, context_length: int | None = None
    ) -> None:
        self.checkpoint = checkpoint
        self.backend = backend
        self._context_length = context_length

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Text to tokens and back."""
        return load_tokenizer(self.checkpoint)

    @cached_property
    def template(self) -> ChatTemplate | None:
        """The model's own chat template, or None."""
        return chat_template(self.checkpoint)

    @cached_property
    def config(self) -> ModelConfig:
        """Sizes and traits of the model; known without reading its weights."""
        return describe(self.checkpoint, self._context_length)

    @cached_property
    def model(self) -> Model:
        """The forward, with its weights placed."""
        return Model.load(self.checkpoint, self.config, self.backend)

    @cached_property
    def engine(self) -> Engine:
        """The generation loop over this model."""
        return Engine(self.model, self.tokenizer)

    def ids(self, prompt: object) -> list[int]:
        """The token ids of a text, or those given, checked to be some and to fit into the context.

        Raises ParameterError.
        """
        if isinstance(prompt, str):
            prompt = self.tokenizer.encode(prompt)
        elif isinstance(prompt, bytes) or not isinstance(prompt, Iterable):
            kind = type(prompt).__name__
            raise ParameterError("prompt", f"must be text or token ids, not {kind}")
        ids = list(prompt)
        if not ids:
            raise ParameterError("prompt", "is empty: there is no token to go on from")
        if len(ids) > (room := self.config.context_length):
            reach = longest(self.checkpoint)
            more = f", or open the model with context_length={reach}" if reach > room else ""
            reason = f"has {len(ids)} tokens; the model's context has {room}: shorten it{more}"
            raise ParameterError("prompt", reason)
        return checked_ids("prompt", ids, self.config.vocab_size)

    def chat_ids(self, messages: Sequence[Message], name: str) -> list[int]:
        """What the model, of this name, sees of a conversation, as token ids; as `chat_pieces`."""
        return [
            token
            for text, control in self.chat_pieces(messages, name)
            for token in self.tokenizer.encode(
                text, add_special_tokens=False, parse_special=control
            )
        ]

    def chat_tokens(self, messages: Sequence[Message], name: str) -> list[Token]:
        """The same with their texts, and their places in the template's text."""
        tokens: list[Token] = []
        at = 0
        for text, control in self.chat_pieces(messages, name):
            cut = self.tokenizer.tokens(text, add_special_tokens=False, parse_special=control)
            tokens += (replace(token, start=at + token.start, end=at + token.end) for token in cut)
            at += len(text)
        return tokens

    def chat_pieces(self, messages: Sequence[Message], name: str) -> list[tuple[str, bool]]:
        """A conversation in the template's text, in pieces: whether special tokens are meant so.

        Raises TemplateError where the model, of this name, has no template.
        """
        if self.template is None:
            raise TemplateError(
                f"{name} has no chat template: it may be a base model, whose texts "
                "`pellucid generate` continues"
            )
        return self.template.render_pieces(messages, self.tokenizer.special_texts)
