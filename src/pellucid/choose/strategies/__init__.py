"""The strategies: how an answer grows. They ask for scores and say tokens; none touches the model.

`strategy` picks one by the parameters that ask for it.
"""

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies.beam import beam_search
from pellucid.choose.strategies.best_of import best_of_n
from pellucid.choose.strategies.constrained import constrained_beam_search
from pellucid.choose.strategies.diverse import diverse_beam_search
from pellucid.choose.strategies.sampling import sample
from pellucid.choose.strategies.steps import Begin, Say, Score, Steps, Strategy

# The parameter that asks for a strategy, and the strategy; nothing asked means `sample`.
STRATEGIES: dict[str, Strategy] = {
    "force_words": constrained_beam_search,
    "force_words_ids": constrained_beam_search,
    "num_beam_groups": diverse_beam_search,
    "num_beams": beam_search,
    "best_of": best_of_n,
}


def strategy(parameters: GenerationParameters) -> Strategy:
    """The strategy that these parameters ask for."""
    asked = (chosen for name, chosen in STRATEGIES.items() if parameters.acts(name))
    return next(asked, sample)


__all__ = ["STRATEGIES", "Begin", "Say", "Score", "Steps", "Strategy", "sample", "strategy"]
