"""The table of generation parameters: names, allowed values, what each does, and how they combine.

Names are those of transformers' GenerationConfig, and OpenAI's where transformers has none.
Validation, the options of the command line and the documentation are read from this table.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pellucid.choose.values import MANY_TOKENS, Flag, Ids, Integer, Kind, Number, Texts, shown
from pellucid.errors import ParameterError

DEFAULT_NEW_TOKENS = 256  # when no length is given; a base model may never stop by itself


@dataclass(frozen=True)
class Parameter:
    """A row of the table.

    `kind` says which values are allowed (`str(kind)` in words) and checks them. `neutral` is the
    value that leaves everything as it is, as if nothing were given; None where there is no such
    value. `sampling` marks what acts only on a draw: giving it asks for sampling.
    """

    name: str
    kind: Kind
    doc: str
    neutral: float | None = None
    sampling: bool = False


def _row(kind: Kind, doc: str, **more: Any) -> Any:
    return field(default=None, metadata={"kind": kind, "doc": doc, **more})


@dataclass(frozen=True, repr=False)
class GenerationParameters:
    """How a text is to be continued. None means not given; nothing given means greedy.

    Each field is a row of `PARAMETERS`. Values are checked when the object is made, and so is
    whether each has an effect beside the others; what has none is a ParameterError. A model's own
    generation_config.json has no say here, so that the same call means the same for every model.
    """

    max_new_tokens: int | None = _row(
        Integer(1, MANY_TOKENS),
        f"generate at most this many tokens; {DEFAULT_NEW_TOKENS} when no length is given",
    )
    max_length: int | None = _row(
        Integer(1, MANY_TOKENS), "prompt and answer together have at most this many tokens"
    )
    min_new_tokens: int | None = _row(
        Integer(0, MANY_TOKENS),
        "no stop token before this many tokens, and no stop string in their text",
        neutral=0,
    )
    min_length: int | None = _row(
        Integer(0, MANY_TOKENS),
        "like min_new_tokens, but counted with the prompt",
        neutral=0,
    )
    stop: tuple[str, ...] | None = _row(Texts(), "end before this text appears in the answer")
    stop_token_ids: tuple[int, ...] | None = _row(
        Ids(), "end at this token, as at the model's own end tokens"
    )
    repetition_penalty: float | None = _row(
        Number(0.001, 1000),
        "divide positive logits (multiply negative ones) of tokens in prompt or answer by this; "
        "above 1 discourages repetition",
        neutral=1.0,
    )
    presence_penalty: float | None = _row(
        Number(-2, 2), "subtract this from the logit of each token in the answer", neutral=0.0
    )
    frequency_penalty: float | None = _row(
        Number(-2, 2),
        "subtract this from the logit of a token for each time it stands in the answer",
        neutral=0.0,
    )
    do_sample: bool | None = _row(
        Flag(), "draw each token by its probability instead of taking the likeliest"
    )
    temperature: float | None = _row(
        Number(0, 1_000_000),
        "divide the logits by this: below 1 favours likely tokens, above 1 evens out; 0 is greedy",
        neutral=1.0,
        sampling=True,
    )
    top_k: int | None = _row(
        Integer(0, MANY_TOKENS),
        "draw from this many likeliest tokens; 0 means all",
        neutral=0,
        sampling=True,
    )
    top_p: float | None = _row(
        Number(0, 1, above=True),
        "draw from the fewest likeliest tokens that together have this probability",
        neutral=1.0,
        sampling=True,
    )
    min_p: float | None = _row(
        Number(0, 1),
        "draw from tokens at least this fraction as probable as the likeliest",
        neutral=0.0,
        sampling=True,
    )
    typical_p: float | None = _row(
        Number(0, 1, above=True),
        "draw from the tokens whose surprise is nearest to the expected, up to this probability",
        neutral=1.0,
        sampling=True,
    )
    seed: int | None = _row(
        Integer(0, 2**64 - 1), "repeat the draws of an earlier run; drawn and reported when absent"
    )

    def __post_init__(self) -> None:
        for row in PARAMETERS.values():
            value = getattr(self, row.name)
            if value is not None:
                object.__setattr__(self, row.name, row.kind.check(row.name, value))
        _check_sampling(self)
        _check_lengths(self)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.given().items())
        return f"GenerationParameters({given})"

    def given(self) -> dict[str, Any]:
        """What is not None, by name."""
        values = {name: getattr(self, name) for name in PARAMETERS}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def sampling(self) -> bool:
        """Whether tokens are drawn; else the likeliest is taken."""
        return self.temperature != 0 and bool(self.do_sample or _given_for_sampling(self))

    def acts(self, name: str) -> bool:
        """Whether a parameter changes anything: given, not neutral, and not overruled by greedy.

        >>> p = GenerationParameters(temperature=0, top_p=1)
        >>> p.acts("temperature"), p.acts("top_p")
        (False, False)
        """
        row, value = PARAMETERS[name], getattr(self, name)
        return value not in (None, row.neutral) and (self.sampling or not row.sampling)

    def resolve(
        self, prompt_length: int, context_length: int, end_ids: Collection[int] = ()
    ) -> GenerationParameters:
        """These parameters for one prompt, with nothing left open.

        Lengths become `max_new_tokens` and `min_new_tokens`, within the context; `stop_token_ids`
        are joined with the model's `end_ids`; a seed is drawn from the system if one is needed.
        Raises ParameterError for a length that this prompt makes impossible.
        """
        most = _most_tokens(self, prompt_length, context_length)
        least = self.min_new_tokens or max((self.min_length or 0) - prompt_length, 0)
        name = "min_new_tokens" if self.min_new_tokens else "min_length"
        if least > most:
            raise ParameterError(name, f"asks for {least} new tokens; at most {most} can follow")
        ends = tuple(sorted({*(self.stop_token_ids or ()), *end_ids}))
        if least and not ends and not self.stop:
            raise ParameterError(name, "has no effect: nothing but the length ends this answer")
        # 32 bits of seed: easy to type again, and exact in JSON, whose numbers end at 2**53
        seed = secrets.randbits(32) if self.sampling and self.seed is None else self.seed
        return replace(
            self,
            max_new_tokens=most,
            min_new_tokens=least,
            max_length=None,
            min_length=None,
            stop_token_ids=ends or None,
            seed=seed,
        )


PARAMETERS: dict[str, Parameter] = {
    f.name: Parameter(f.name, **f.metadata) for f in fields(GenerationParameters)
}


def parameters(**given: Any) -> GenerationParameters:
    """Generation parameters by name; None is the same as not given.

    Raises ParameterError for a name that is unknown (with the nearest known one), a value out of
    range, and a parameter that has no effect beside the others.

    >>> parameters(temperature=0.7, stop="END")
    GenerationParameters(stop=('END',), temperature=0.7)
    >>> parameters(top_kk=5)
    Traceback (most recent call last):
    pellucid.errors.ParameterError: top_kk: no such parameter; did you mean top_k?
    >>> parameters(top_k=5, do_sample=False)
    Traceback (most recent call last):
    pellucid.errors.ParameterError: top_k: has no effect with do_sample=False
    """
    for name in given:
        if name not in PARAMETERS:
            raise ParameterError(shown(name).strip("'"), _unknown(name))
    return GenerationParameters(**given)


def _unknown(name: str) -> str:
    import difflib  # noqa: PLC0415  (only a mistake needs it)

    begun = [known for known in PARAMETERS if len(name) > 2 and known.startswith(name)]
    near = begun or difflib.get_close_matches(name[:64], PARAMETERS, n=1, cutoff=0.65)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(PARAMETERS)}"
    return f"no such parameter; {hint}"


def _given_for_sampling(p: GenerationParameters) -> list[Parameter]:
    given = p.given()
    return [row for row in PARAMETERS.values() if row.sampling and row.name in given]


def _check_sampling(p: GenerationParameters) -> None:
    """Refuse what has no effect because the likeliest token is taken anyway."""
    given = _given_for_sampling(p)
    if p.temperature == 0:
        if p.do_sample:
            raise ParameterError("do_sample", "True contradicts temperature=0, which is greedy")
        idle = [r for r in given if r.name != "temperature" and getattr(p, r.name) != r.neutral]
        greedy = "temperature=0"
    else:
        idle = given if p.do_sample is False else []
        greedy = "do_sample=False"
    if idle:
        raise ParameterError(idle[0].name, f"has no effect with {greedy}")
    if p.seed is not None and not p.sampling:
        raise ParameterError("seed", "has no effect without sampling; give do_sample=True too")


def _check_lengths(p: GenerationParameters) -> None:
    """Refuse two ways to say one length, and a least above a most."""
    for total, new in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
        if getattr(p, total) is not None and getattr(p, new) is not None:
            raise ParameterError(total, f"excludes {new}: give one of the two")
    for least, most in (("min_length", "max_length"), ("min_new_tokens", "max_new_tokens")):
        low, high = getattr(p, least), getattr(p, most)
        if low is not None and high is not None and low > high:
            raise ParameterError(least, f"must be at most {most}, {high}, not {low}")


def _most_tokens(p: GenerationParameters, prompt_length: int, context_length: int) -> int:
    """How many tokens may follow the prompt: prompt and answer fill at most the context."""
    most = p.max_new_tokens or DEFAULT_NEW_TOKENS
    if p.max_length is not None:
        most = p.max_length - prompt_length
        if most <= 0:
            reason = f"{p.max_length} leaves no room: the prompt alone has {prompt_length} tokens"
            raise ParameterError("max_length", reason)
    return min(most, context_length - prompt_length)
