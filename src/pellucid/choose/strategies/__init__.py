"""The strategies: how an answer grows. They ask for scores and say tokens; none touches the model.

`strategy` picks one by the parameters that ask for it.
"""

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies.sampling import sample
from pellucid.choose.strategies.steps import Begin, Say, Score, Steps, Strategy

# The parameter that asks for a strategy, and the strategy; nothing asked means `sample`.
STRATEGIES: dict[str, Strategy] = {}


def strategy(parameters: GenerationParameters) -> Strategy:
    """The strategy that these parameters ask for."""
    asked = (chosen for name, chosen in STRATEGIES.items() if parameters.acts(name))
    return next(asked, sample)


__all__ = ["STRATEGIES", "Begin", "Say", "Score", "Steps", "Strategy", "sample", "strategy"]
