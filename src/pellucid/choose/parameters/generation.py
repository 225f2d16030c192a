"""All generation parameters together: how they are given, checked, and resolved for a prompt."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from pellucid.choose.parameters.account import DEFAULT_LEDGER, Account
from pellucid.choose.parameters.constraints import Constraints
from pellucid.choose.parameters.contrast import Contrast
from pellucid.choose.parameters.distribution import Distribution
from pellucid.choose.parameters.dry import Dry
from pellucid.choose.parameters.lengths import Lengths
from pellucid.choose.parameters.order import REPLACED_BY_MIROSTAT, Order
from pellucid.choose.parameters.penalties import Penalties
from pellucid.choose.parameters.sampling import Sampling
from pellucid.choose.parameters.search import Search
from pellucid.choose.parameters.shaping import Shaping
from pellucid.choose.parameters.speculation import Speculation
from pellucid.choose.parameters.steering import Steering
from pellucid.choose.parameters.table import Parameter
from pellucid.choose.parameters.tokens import Tokens
from pellucid.choose.parameters.values import shown
from pellucid.errors import ParameterError

if TYPE_CHECKING:
    from pellucid.tokens.vocabulary import Vocabulary

GROUPS = (
    Lengths,
    Constraints,
    Penalties,
    Dry,
    Tokens,
    Distribution,
    Sampling,
    Shaping,
    Steering,
    Order,
    Search,
    Contrast,
    Speculation,
    Account,
)  # in the order of the help


@dataclass(frozen=True, repr=False)
class GenerationParameters(
    Account,
    Speculation,
    Contrast,
    Search,
    Order,
    Steering,
    Shaping,
    Sampling,
    Distribution,
    Tokens,
    Dry,
    Penalties,
    Constraints,
    Lengths,
):
    """How a text is to be continued. None means not given; nothing given means greedy.

    Each field is a row of `PARAMETERS`. Values are checked when the object is made, and so is
    whether each has an effect beside the others; what has none is a ParameterError. A model's own
    generation_config.json has no say here, so that the same call means the same for every model.
    """

    def __post_init__(self) -> None:
        for row in PARAMETERS.values():
            value = getattr(self, row.name)
            if value is not None:
                object.__setattr__(self, row.name, row.kind.check(row.name, value))
        _check_sampling(self)
        _check_needs(self)
        _check_mirostat(self)
        self.check_lengths()
        self.check_constraints(self.stop or ())
        self.check_negative()
        self.check_contrast(self.sampling, self.top_k, self.num_return_sequences)
        self.check_search(self.sampling)
        self.check_order()

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

    def value(self, name: str) -> Any:
        """What was given for a parameter, else its neutral value."""
        given = getattr(self, name)
        return PARAMETERS[name].neutral if given is None else given

    def acts(self, name: str) -> bool:
        """Whether a parameter changes anything: given, not neutral, and not overruled by greedy.

        >>> p = GenerationParameters(temperature=0, top_p=1)
        >>> p.acts("temperature"), p.acts("top_p")
        (False, False)
        """
        row = PARAMETERS[name]
        return self.value(name) != row.neutral and (self.sampling or not row.sampling)

    def tokens(self) -> Iterator[tuple[str, Iterable[int]]]:
        """The parameters that name tokens, each with their ids."""
        for name, value in self.given().items():
            named = getattr(PARAMETERS[name].kind, "tokens", None)
            if named:
                yield name, named(value)

    def resolve(
        self,
        prompt_length: int,
        context_length: int,
        end_ids: Collection[int] = (),
        vocabulary: Vocabulary | None = None,
    ) -> GenerationParameters:
        """These parameters for one prompt, with nothing left open.

        Lengths become `max_new_tokens` and `min_new_tokens`, within the context; `stop_token_ids`
        are joined with the model's `end_ids`; texts become ids; a seed is drawn from the system if
        one is needed. Raises ParameterError for a length that this prompt makes impossible, and
        for a text that has no ids.
        """
        negative = self.negative_ids(vocabulary, context_length)
        beyond = max(0, len(negative or ()) - prompt_length)  # the longer prompt bounds the answer
        most = self.most_tokens(prompt_length, context_length - beyond)
        least = self.min_new_tokens or max((self.min_length or 0) - prompt_length, 0)
        name = "min_new_tokens" if self.min_new_tokens else "min_length"
        if least > most:
            raise ParameterError(name, f"asks for {least} new tokens; at most {most} can follow")
        ends = tuple(sorted({*(self.stop_token_ids or ()), *end_ids}))
        if least and not ends and not self.stop:
            raise ParameterError(name, "has no effect: nothing but the length ends this answer")
        if self.constraint and not ends:
            reason = "needs a token that ends the answer, and this model has none"
            raise ParameterError(self.constraint, f"{reason}; give stop_token_ids")
        if self.exponential_decay_length_penalty and not ends:
            name = "exponential_decay_length_penalty"
            raise ParameterError(name, "has no effect: no token ends this answer")
        self.check_ends(len(ends))
        # 32 bits of seed: easy to type again, and exact in JSON, whose numbers end at 2**53
        seed = secrets.randbits(32) if self.sampling and self.seed is None else self.seed
        return replace(
            self,
            max_new_tokens=most,
            min_new_tokens=least,
            max_length=None,
            min_length=None,
            stop_token_ids=ends or None,
            bad_words=None,
            bad_words_ids=self.forbidden(vocabulary, ends),
            negative_prompt=None,
            negative_prompt_ids=negative,
            seed=seed,
            ledger=DEFAULT_LEDGER if self.ledger is None else self.ledger,
        )


PARAMETERS: dict[str, Parameter] = {
    f.name: Parameter(f.name, group.heading, **f.metadata)
    for group in GROUPS
    for f in fields(group)
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
    if name == "draft":
        return "has no effect here: this is done without a second model"
    import difflib  # noqa: PLC0415  (only a mistake needs it)

    begun = [known for known in PARAMETERS if len(name) > 2 and known.startswith(name)]
    near = begun or difflib.get_close_matches(name[:64], PARAMETERS, n=1, cutoff=0.65)
    hint = f"did you mean {near[0]}?" if near else "`pellucid generate --help` has all"
    return f"no such parameter; {hint}"


def _given_for_sampling(p: GenerationParameters) -> list[Parameter]:
    given = set(p.given()) - ({"top_k"} if p.contrastive else set())
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


def _check_mirostat(p: GenerationParameters) -> None:
    """Refuse, in llama.cpp's dialect, what it leaves out where mirostat is on."""
    if p.dialect != "llama.cpp" or not p.acts("mirostat"):
        return
    for name in REPLACED_BY_MIROSTAT:
        if p.acts(name):
            reason = "has no effect beside mirostat in llama.cpp; leave out dialect to have both"
            raise ParameterError(name, reason)


def _check_needs(p: GenerationParameters) -> None:
    """Refuse what has an effect only beside another, which is not there."""
    for name, value in p.given().items():
        row = PARAMETERS[name]
        if row.needs and value != row.neutral and not any(p.acts(other) for other in row.needs):
            raise ParameterError(name, f"has no effect without {' or '.join(row.needs)}")
