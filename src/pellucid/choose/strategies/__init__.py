"""The strategies: how an answer grows. They ask for scores and say tokens; none touches the model.

`strategy` picks one by the parameters that ask for it.
"""

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies.beam import beam_search
from pellucid.choose.strategies.best_of import best_of_n
from pellucid.choose.strategies.constrained import constrained_beam_search
from pellucid.choose.strategies.contrastive import contrastive_search
from pellucid.choose.strategies.diverse import diverse_beam_search
from pellucid.choose.strategies.dola import dola
from pellucid.choose.strategies.sampling import sample
from pellucid.choose.strategies.speculative import speculate
from pellucid.choose.strategies.steps import Begin, Say, Score, Steps, Strategy
from pellucid.errors import ParameterError

# The parameter that asks for a strategy, and the strategy; nothing asked means `sample`.
STRATEGIES: dict[str, Strategy] = {
    "force_words": constrained_beam_search,
    "force_words_ids": constrained_beam_search,
    "num_beam_groups": diverse_beam_search,
    "num_beams": beam_search,
    "best_of": best_of_n,
    "penalty_alpha": contrastive_search,
    "dola_layers": dola,
    "prompt_lookup_num_tokens": speculate,
    "assistant_early_exit": speculate,
}

_ALONE = (contrastive_search, dola, speculate)


def strategy(parameters: GenerationParameters, draft: bool = False) -> Strategy:
    """The strategy that these parameters ask for, or a `draft` model beside them.

    Raises ParameterError where one that goes together with no other is asked for beside another.
    """
    asked = {name: chosen for name, chosen in STRATEGIES.items() if parameters.acts(name)}
    if draft:
        asked["draft"] = speculate
    for name, chosen in asked.items():
        if chosen in _ALONE and len(asked) > 1:
            other = next(other for other in asked if other != name)
            raise ParameterError(name, f"excludes {other}: give one of the two")
    return next(iter(asked.values()), sample)


__all__ = [
    "STRATEGIES",
    "Begin",
    "Say",
    "Score",
    "Steps",
    "Strategy",
    "sample",
    "speculate",
    "strategy",
]
