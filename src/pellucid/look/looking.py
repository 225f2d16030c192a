"""A run that is looked at: `lm.look(...)` gives one. Each method is a view of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pellucid.choose.parameters.values import Integer
from pellucid.engine.generation import Generation
from pellucid.errors import ParameterError
from pellucid.look import html, terminal
from pellucid.look.ablation import AblationView
from pellucid.look.analogy import AnalogyView
from pellucid.look.attention import AttentionView, numbers
from pellucid.look.attribution import AttributionView
from pellucid.look.comparison import ComparisonView
from pellucid.look.considered import considered
from pellucid.look.expected import ExpectedView
from pellucid.look.explanation import ExplanationView
from pellucid.look.ledger import TOP
from pellucid.look.lens import LensView
from pellucid.look.map import MapView
from pellucid.look.neighbours import NeighboursView
from pellucid.look.neurons import NeuronsView
from pellucid.look.numbers import left_out
from pellucid.look.page import page
from pellucid.look.surprise import SurpriseView
from pellucid.look.tree import DEPTH, WIDTH, TreeView
from pellucid.look.view import View
from pellucid.look.why import WhyView
from pellucid.look.writers import largest
from pellucid.model import sites
from pellucid.model.probe import Edit
from pellucid.trace.comparison import compare
from pellucid.trace.file import open_trace as read
from pellucid.trace.file import save
from pellucid.trace.readings import Subject, taken, watched
from pellucid.trace.readings.occlusion import BY
from pellucid.trace.trace import Trace
from pellucid.weights.tensor import Floats

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 500  # pieces
_MARK = "_a_view"
_ON_A_PAGE = ("surprise", "next", "attention", "lens", "why")
_NUMBERS_ON_A_PAGE = 12 << 20  # of queries and keys, two bytes of text each
_OF_AN_ANSWER = ("explain", "tree")

Made = TypeVar("Made", bound=Callable[..., View])


def open_trace(path: str | os.PathLike[str]) -> Look:
    """A trace that was saved, without its model: all that is in it can be seen.

    Raises FormatError for a file that is none, or damaged, and UnsupportedError for one of a later
    version.
    """
    return Look(read(Path(path)))


def _a_view(method: Made) -> Made:
    """Mark a method that gives a view: `--view` of the command line finds it by its name, and takes
    its keyword arguments for options.
    """
    setattr(method, _MARK, True)
    return method


def views() -> dict[str, Callable[..., View]]:
    """The views of a run: methods of `Look`, by name."""
    return {name: method for name, method in vars(Look).items() if hasattr(method, _MARK)}


class Look(View):
    """A run and all that can be seen of it.

    What a view needs is computed when it is first asked for, and kept in the `trace`; so `save`
    writes what was looked at, and who opens the file sees that without the model. With `subject`,
    which opens the model when it is first needed, everything else can be asked for too.
    """

    def __init__(self, trace: Trace, subject: Callable[[], Subject] | None = None) -> None:
        self.trace = trace
        self.progress: Callable[[int, int], None] | None = (
            None  # told how much of a reading is done
        )
        self._subject = subject and cache(subject)  # a model takes seconds to open

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens of prompt and answer."""
        return self.trace.ids

    @property
    def text(self) -> str:
        """Prompt and answer."""
        return self.trace.text

    @property
    def generation(self) -> Generation | None:
        """The answer with its ledgers, if there is one."""
        return self.trace.generation

    def __getitem__(self, site: str) -> Floats:
        """What was at a site, `[rows, ...]` float32, a row for each of `ids`.

        Raises ParameterError for what is none, or none alone.
        """
        named = sites.select((site,), self.trace.config, "site")
        if len(named) > 1:
            raise ParameterError("site", f"{site!r:.80} names {len(named)}; ask for one")
        return self.watch(site).trace.value(named[0])

    def watch(self, *patterns: str) -> Look:
        """Keep these sites too (patterns, as in docs/sites.md); this look itself."""
        missing = [
            name
            for name in sites.select(patterns, self.trace.config, "watch")
            if name not in self.trace.values
        ]
        if missing:
            self.trace = watched(self._model(f"{missing[0]} is"), self.trace, missing)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace to a file, as docs/trace.md describes it. Raises OSError."""
        save(self.trace, Path(path))

    def page(self, title: str | None = None, *, views: Mapping[str, View] | None = None) -> str:
        """An HTML file of these views, or of those that take no time; it works offline."""
        names = _ON_A_PAGE + (_OF_AN_ANSWER if self.generation else ())
        given = {"attention": {"layers": self._layers_of_a_page()}}
        chosen = views or {name: getattr(self, name)(**given.get(name, {})) for name in names}
        figures = [figure for view in chosen.values() for figure in view.figures()]
        told = title or f"{self.trace.origin.name}: {self.text[:60]}"
        return page(told, figures)

    def _layers_of_a_page(self) -> Sequence[int]:
        """Layers whose attention fits on a page of 25 MB: all of a text of 512 tokens of a small
        model, fewer of a longer one, evenly taken.
        """
        config = self.trace.config
        heads = (config.heads + config.kv_heads) * config.head_dim
        room = _NUMBERS_ON_A_PAGE // (heads * len(self.ids))
        count = min(config.layers, max(1, room))
        return [i * config.layers // count for i in range(count)]

    # ---- views: each is marked with @_a_view ----------------------------------------------

    @_a_view
    def surprise(self, *, top: int = 20) -> SurpriseView:
        """How likely each token was, and what was expected instead."""
        return SurpriseView(self._read("next", top=top), top)

    @_a_view
    def next(self, position: int = -1, *, top: int = 20) -> ExpectedView:
        """What may come next, and what temperature and top-p make of it."""
        at = self._position(position)
        return ExpectedView(self._read("next", top=top), at, top)

    @_a_view
    def attention(
        self,
        layers: int | Sequence[int] | None = None,
        heads: int | Sequence[int] | None = None,
        *,
        figure: str | None = None,
    ) -> AttentionView:
        """What tokens look at: the heads of these layers, or of all.

        `figure` is the one that is drawn: head, model, matrix or neuron.
        """
        chosen = numbers("layers", layers, self.trace.config.layers)
        self.watch(*(f"layers.{i}.attn.[qk]" for i in chosen))
        return AttentionView(self.trace, layers, heads, figure)

    @_a_view
    def lens(self, *, top: int = 5) -> LensView:
        """The logit lens: what the model would say after each layer."""
        return LensView(self._read("lens", top=top), top)

    @_a_view
    def why(
        self,
        token: str | int | None = None,
        position: int = -1,
        *,
        versus: str | int | None = None,
        test: int = 8,
    ) -> WhyView:
        """Who wrote a token's logit: every head and MLP, and the leading ones silenced.

        `token` may come after `position`, by its text or id; the model's own choice where it is not
        given. With `versus`, who sets it apart from that one. `test` heads and MLPs are silenced,
        one at a time, to see what becomes of it.
        """
        arguments = {**self._asked(token, position, versus), "test": test}
        return WhyView(self._read("why", **arguments), arguments)

    @_a_view
    def neurons(
        self,
        token: str | int | None = None,
        position: int = -1,
        *,
        versus: str | int | None = None,
        top: int = 20,
    ) -> NeuronsView:
        """The neurons that push a token's logit most.

        Arguments as in `why`; `top` of them are listed.
        """
        arguments = {**self._asked(token, position, versus), "top": top}
        return NeuronsView(self._read("neurons", **arguments), arguments)

    @_a_view
    def ablation(
        self, token: str | int | None = None, position: int = -1, *, by: str = "zero"
    ) -> AblationView:
        """Who is needed for a token: each head and MLP taken out in turn, at every position.

        It then writes nothing, or with `by="mean"` its mean over the text. The model reads the text
        once for each: seconds for a short one.
        """
        at = self._position(position)
        arguments = {"token": self._token("token", token, at), "position": at, "by": by}
        return AblationView(self._read("ablation", **arguments), arguments)

    @_a_view
    def attribution(
        self,
        token: str | int | None = None,
        position: int = -1,
        *,
        of: str = "logprob",
        by: str = "mean",
        steps: int = 96,
        hold: int = 1,
        test: int = 32,
    ) -> AttributionView:
        """Which tokens an answer rests on: what gradients claim, and what is so without each.

        Gradients, `steps` of them at most, are computed by torch; `of` is "logprob" or "logit". The
        `test` tokens of which most is claimed are then taken out, one at a time: replaced by the
        average of all embeddings, by zeros (`by="zero"`), by another token (its text), or hidden
        from those after them ("hidden"). The first `hold` tokens, where idle attention rests, are
        left alone by integrated gradients.
        """
        at = self._position(position)
        asked = {"token": self._token("token", token, at), "position": at}
        test, instead = Integer(0, 1024).check("test", test), self._instead(by, at)
        baseline = "zero" if by == "zero" else "mean"
        claims = {
            **asked, "of": of, "baseline": baseline, "steps": steps, "hold": min(hold, at)
        }  # fmt: skip
        reading = self._read("attribution", **claims).reading("attribution", **claims)
        assert reading
        places = [place for (place,) in largest(reading.arrays["integrated"], test)]
        tested = {**asked, "by": instead, "places": sorted(places)}
        return AttributionView(self._read("occlusion", **tested), tested, claims)

    @_a_view
    def occlusion(
        self, token: str | int | None = None, position: int = -1, *, by: str = "mean"
    ) -> AttributionView:
        """What becomes of a token without each of those before it.

        `by` as in `attribution`.
        """
        at = self._position(position)
        tested = {
            "token": self._token("token", token, at), "position": at, "by": self._instead(by, at)
        }  # fmt: skip
        return AttributionView(self._read("occlusion", **tested), tested)

    @_a_view
    def neighbours(self, *, top: int = 10) -> NeighboursView:
        """The tokens nearest to each in the model's embedding."""
        return NeighboursView(self._read("neighbours", top=top), {"top": top})

    @_a_view
    def map(self, *, top: int = 5) -> MapView:
        """The tokens and their nearest on a plane, and how much of the truth a plane shows."""
        return MapView(self._read("map", top=top), {"top": top})

    @_a_view
    def explain(self, *, top: int = 5) -> ExplanationView:
        """Why each token of the answer was chosen: the ledger."""
        top = TOP.check("top", top)
        answer = self._answer()
        every = (answer, *answer.alternatives)
        if not all(token.ledger for one in every for token in one.tokens):
            raise ParameterError("ledger", "was not kept when the answer was made, with ledger=0")
        return ExplanationView(answer, self.trace.bytes_of, top=top)

    @_a_view
    def tree(self, *, depth: int = 16, width: int = 5) -> TreeView:
        """What was considered on the way to the answer, and what became of it."""
        depth = DEPTH.check("depth", depth)
        width = WIDTH.check("width", width)
        prompt = b"".join(self.trace.pieces[: self.trace.prompt_length])
        nodes = considered(self._answer())
        return TreeView(nodes, self.trace.bytes_of, prompt=prompt, depth=depth, width=width)

    # ---- besides: what takes more than the run ----------------------------------------------

    def analogy(self, a: str | int, b: str | int, c: str | int, *, top: int = 10) -> AnalogyView:
        """The tokens nearest to a - b + c, such as " king", " man", " woman"."""
        given = zip("abc", (a, b, c), strict=True)
        asked = {name: self._token(name, token, 0) for name, token in given} | {"top": top}
        return AnalogyView(self._read("analogy", **asked), asked)

    def compare(self, other: Look) -> ComparisonView:
        """This run beside another: of another text, another model, or the same one changed."""
        sides = ((look.subject, look.trace) for look in (self, other))
        return ComparisonView(compare(*sides))

    # ---- what views are made of -------------------------------------------------------------

    def _answer(self) -> Generation:
        if self.generation is None:
            reason = "there is no answer: the text was read; give a length, such as max_new_tokens"
            raise ParameterError("look", reason)
        return self.generation

    def _asked(
        self, token: str | int | None, position: int, versus: str | int | None
    ) -> dict[str, Any]:
        """The arguments of a reading that explains a token."""
        at = self._position(position)
        other = None if versus is None else self._token("versus", versus, at)
        return {"token": self._token("token", token, at), "position": at, "versus": other}

    def _position(self, position: int) -> int:
        """A place in the text, from 0; a negative one counts from the end."""
        count = len(self.ids)
        return Integer(-count, count - 1).check("position", position) % count

    def _token(self, name: str, token: str | int | None, position: int) -> int:
        """A token by its text or id; None is what the model finds likeliest there."""
        if token is None:
            return self.next(position)[0].id
        if isinstance(token, str):
            spelled = token.encode("utf-8", "surrogatepass")
            known = [i for i, said in self.trace.words.items() if said == spelled]
            ids = known or self._ids_of(token)
            if len(ids) > 1 and not known:
                first = self._model("").bytes_of(ids[0]).decode("utf-8", "replace")
                reason = f"{token!r:.40} is {len(ids)} tokens; the first is {first!r:.40}"
                raise ParameterError(name, reason)
            return ids[0]
        return Integer(0, self.trace.config.vocab_size - 1).check(name, token)

    def _instead(self, by: str, position: int) -> str | int:
        """What a token is replaced by: a way of `occlusion`, or a token by its text."""
        return by if by in BY else self._token("by", by, position)

    def _ids_of(self, text: str) -> Sequence[int]:
        ids_of = self._model(f"the token {text!r:.40} is").ids_of
        assert ids_of
        return ids_of(text)

    def _read(self, name: str, **arguments: Any) -> Trace:
        """The trace, with this reading."""
        if not self.trace.reading(name, **arguments):
            subject = self._model(f"the reading {name} is")
            self.trace = taken(subject, self.trace, name, **arguments)
        return self.trace

    @property
    def subject(self) -> Subject:
        """The model of this run. Raises ParameterError where it is not open."""
        return self._model("that is")

    def _model(self, what: str) -> Subject:
        if self._subject is None:
            reason = f"{what} not in this trace, and its model is not open"
            raise ParameterError("look", f"{reason}; give the trace to `look` of the model")
        return replace(self._subject(), progress=self.progress)

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: docs/json.md."""
        trace = self.trace
        return {
            "model": trace.origin.name,
            "backend": trace.origin.backend,
            "settings": dict(trace.origin.settings),
            "text": trace.text,
            "ids": list(trace.ids),
            "prompt_length": trace.prompt_length,
            "messages": trace.messages and [dict(message) for message in trace.messages],
            "parameters": dict(trace.parameters),
            "edits": list(trace.edits),
            "values": {site: list(value.shape) for site, value in trace.values.items()},
            "readings": [
                {"name": reading.name, "arguments": dict(reading.arguments)}
                for reading in trace.readings
            ],
            "generation": trace.generation and trace.generation.to_dict(),
        }

    def terminal(self) -> RenderableType:
        shown = list(zip(self._pieces(), self._styles(), strict=False))
        notes = [terminal.words((note, terminal.QUIET)) for note in self._notes()]
        return terminal.stack(terminal.Running(shown), *notes)

    def html(self) -> str:
        styled = zip(self._pieces(), self._styles(), strict=False)
        pieces = (
            html.piece(piece, class_=None if style == terminal.QUIET else "t0")
            for piece, style in styled
        )
        notes = (html.element("p", note, class_="quiet") for note in self._notes())
        return html.fragment(html.running(pieces), *notes)

    def _pieces(self) -> Sequence[bytes]:
        return self.trace.pieces[:_SHOWN]

    def _styles(self) -> list[str]:
        """The answer is in colour."""
        said = len(self.ids) - self.trace.prompt_length
        return [terminal.QUIET] * self.trace.prompt_length + [terminal.TINTS[0]] * said

    def _notes(self) -> list[str]:
        trace = self.trace
        told = [left_out(len(self.ids) - _SHOWN)] if len(self.ids) > _SHOWN else []
        answer = len(trace.ids) - trace.prompt_length
        tokens = f"{trace.prompt_length} token{'s' * (trace.prompt_length != 1)}"
        counts = tokens + (f" and {answer} of the answer" * bool(answer))
        told.append(f"{counts}, read by {trace.origin.name} ({trace.origin.backend}).")
        if trace.edits:
            told.append(f"Changed: {', '.join(map(_edit, trace.edits))}.")
        if trace.values:
            told.append(f"Kept: {', '.join(_by_layer(trace.values))}.")
        if trace.readings:
            told.append(f"Read: {', '.join(reading.name for reading in trace.readings)}.")
        return told


def _by_layer(names: Iterable[str]) -> Iterator[str]:
    """Sites, those that many layers have in one.

    >>> list(_by_layer(["embed", "layers.0.mlp.out", "layers.1.mlp.out", "layers.5.mlp.out"]))
    ['embed', 'layers.[0,1,5].mlp.out']
    >>> list(_by_layer([f"layers.{i}.attn.q" for i in range(3, 30)]))
    ['layers.[3-29].attn.q']
    """
    layers: dict[str, list[int]] = {}
    for name in names:
        layer, local = sites.place(name)
        layers.setdefault(local, []).append(layer)
    for local, found in layers.items():
        if len(found) > 1:
            yield f"layers.[{_numbers(found)}].{local}"
        else:
            yield local if found == [-1] else f"layers.{found[0]}.{local}"


def _numbers(numbers: Sequence[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 2 and list(numbers) == list(range(first, last + 1)):
        return f"{first}-{last}"
    return ",".join(map(str, numbers))


def _edit(edit: Any) -> str:
    by_function = isinstance(edit["change"], str)
    return f"{edit['site']}={edit['change']}" if by_function else str(Edit.from_dict(edit))
