"""The strategies: how an answer grows. They ask for scores and say tokens; none touches the model.

`strategy` picks one by the parameters that ask for it.
"""

from importlib import import_module

from pellucid.choose.parameters import GenerationParameters
from pellucid.choose.strategies.sampling import sample
from pellucid.choose.strategies.steps import Begin, Say, Score, Steps, Strategy
from pellucid.errors import ParameterError

# The parameter that asks for a strategy, and where that is: a process loads the one it needs.
# Nothing asked means `sample`.
STRATEGIES = {
    "force_words": "constrained.constrained_beam_search",
    "force_words_ids": "constrained.constrained_beam_search",
    "num_beam_groups": "diverse.diverse_beam_search",
    "num_beams": "beam.beam_search",
    "best_of": "best_of.best_of_n",
    "penalty_alpha": "contrastive.contrastive_search",
    "dola_layers": "dola.dola",
    "prompt_lookup_num_tokens": "speculative.speculate",
    "assistant_early_exit": "speculative.speculate",
}

_DRAFTED = "speculative.speculate"
_ALONE = ("contrastive.contrastive_search", "dola.dola", _DRAFTED)


def strategy(parameters: GenerationParameters, draft: bool = False) -> Strategy:
    """The strategy that these parameters ask for, or a `draft` model beside them.

    Raises ParameterError where one that goes together with no other is asked for beside another.
    """
    asked = {name: chosen for name, chosen in STRATEGIES.items() if parameters.acts(name)}
    if draft:
        asked["draft"] = _DRAFTED
    for name, chosen in asked.items():
        if chosen in _ALONE and len(asked) > 1:
            other = next(other for other in asked if other != name)
            raise ParameterError(name, f"excludes {other}: give one of the two")
    return _loaded(next(iter(asked.values()))) if asked else sample


def _loaded(place: str) -> Strategy:
    module, _, name = place.partition(".")
    found: Strategy = getattr(import_module(f"{__name__}.{module}"), name)
    return found


__all__ = [
    "STRATEGIES",
    "Begin",
    "Say",
    "Score",
    "Steps",
    "Strategy",
    "sample",
    "strategy",
]
