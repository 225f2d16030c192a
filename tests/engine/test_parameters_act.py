"""Every parameter has an effect: there is a request whose answer it changes; and where it cannot
have one, it is refused. Both tables must have each row of the table of parameters.
"""

from __future__ import annotations

from typing import Any

import pytest

from pellucid.choose.parameters import PARAMETERS, parameters
from pellucid.engine.engine import Engine, Request
from pellucid.engine.generation import Generation
from pellucid.errors import ParameterError

from .toy import VOCAB, ByteTokenizer, ToyModel, greedy_after, logits_after

PROMPT = [7, 8]
DRAWN = {"do_sample": True, "seed": 1}
SEARCHED = {"num_beams": 4, "max_new_tokens": 12, "stop_token_ids": list(range(VOCAB // 2, VOCAB))}

# What is given besides, and a value that then changes the answer.
ACTS: dict[str, tuple[dict[str, Any], Any]] = {
    "max_new_tokens": ({}, 3),
    "max_length": ({}, 6),
    "min_new_tokens": ({"stop_token_ids": list(range(VOCAB // 2))}, 9),
    "min_length": ({"stop_token_ids": list(range(VOCAB // 2))}, 9),
    "stop": ({}, "loop"),
    "stop_token_ids": ({}, [ord("o")]),
    "json_schema": ({}, {"type": "integer"}),
    "regex": ({}, "[lo]{6}"),
    "grammar": ({}, 'start: "loopy" | "pool"'),
    "choice": ({}, ["yes", "no"]),
    "exponential_decay_length_penalty": ({}, (2, 5.0)),
    "repetition_penalty": ({}, 200.0),
    "repeat_last_n": ({"repetition_penalty": 200.0}, 2),
    "encoder_repetition_penalty": ({}, 900.0),
    "no_repeat_ngram_size": ({}, 2),
    "encoder_no_repeat_ngram_size": ({"logit_bias": {PROMPT[0]: 100}}, 1),
    "bad_words": ({}, "o"),
    "bad_words_ids": ({}, [list(b"op")]),
    "sequence_bias": ({}, {tuple(b"op"): -50}),
    "logit_bias": ({}, {ord("p"): -100}),
    "allowed_token_ids": ({}, [3, 4]),
    "suppress_tokens": ({}, ord("l")),
    "begin_suppress_tokens": ({}, ord("o")),
    "forced_bos_token_id": ({}, 5),
    "forced_eos_token_id": ({}, 5),
    "guidance_scale": ({}, 3.0),
    "negative_prompt": ({"guidance_scale": 3.0}, "ab"),
    "negative_prompt_ids": ({"guidance_scale": 3.0}, [5]),
    "watermarking_config": ({}, {"bias": 10.0}),
    "renormalize_logits": ({}, True),
    "presence_penalty": ({}, 2.0),
    "frequency_penalty": ({}, 2.0),
    "do_sample": ({}, True),
    "temperature": (DRAWN, 5.0),
    "top_k": (DRAWN, 2),
    "top_p": (DRAWN, 0.2),
    "min_p": (DRAWN, 0.5),
    "typical_p": (DRAWN, 0.2),
    "top_h": (DRAWN, 0.2),
    "epsilon_cutoff": (DRAWN, 0.1),
    "eta_cutoff": (DRAWN, 0.5),
    "seed": ({"do_sample": True}, 2),
    "dry_multiplier": ({}, 2.0),
    "dry_base": ({"dry_multiplier": 0.1}, 3.0),
    "dry_allowed_length": ({"dry_multiplier": 2.0}, 5),
    "dry_penalty_last_n": ({"dry_multiplier": 2.0}, 5),
    "dry_sequence_breakers": ({"dry_multiplier": 2.0}, "p"),
    "dynatemp_range": (DRAWN | {"temperature": 2.0}, 1.5),
    "dynatemp_exponent": (DRAWN | {"temperature": 2.0, "dynatemp_range": 1.5}, 4.0),
    "top_n_sigma": (DRAWN, 1.0),
    "xtc_probability": (DRAWN, 0.5),
    "xtc_threshold": (DRAWN | {"xtc_probability": 1.0}, 0.02),
    "min_keep": (DRAWN | {"top_p": 0.01}, 20),
    "mirostat": (DRAWN, 2),
    "mirostat_tau": (DRAWN | {"mirostat": 2}, 1.0),
    "mirostat_eta": (DRAWN | {"mirostat": 2}, 1.0),
    "adaptive_target": (DRAWN, 0.0),
    "adaptive_decay": (DRAWN | {"adaptive_target": 0.1}, 0.0),
    "dialect": (DRAWN | {"temperature": 3.0, "top_p": 0.9}, "llama.cpp"),
    "samplers": (DRAWN | {"temperature": 3.0, "top_p": 0.9}, "top_p;temperature"),
    "num_return_sequences": (DRAWN, 3),
    "num_beams": ({}, 4),
    "length_penalty": (SEARCHED, 0.0),
    "early_stopping": (SEARCHED, True),
    "num_beam_groups": ({"num_beams": 4, "num_return_sequences": 4}, 2),
    "diversity_penalty": ({"num_beams": 4, "num_return_sequences": 4}, 9.0),
    "force_words": ({"num_beams": 3}, "zebra"),
    "force_words_ids": ({"num_beams": 3}, [[90, 91], [[92], [93, 94]]]),
    "best_of": (DRAWN, 6),
    "penalty_alpha": ({}, 0.9),
    "dola_layers": ({}, "high"),
    "prompt_lookup_num_tokens": ({}, 3),
    "max_matching_ngram_size": (DRAWN | {"prompt_lookup_num_tokens": 3}, 1),
    "assistant_early_exit": ({}, 3),
    "num_assistant_tokens": ({"assistant_early_exit": 3}, 2),
    "assistant_confidence_threshold": ({"assistant_early_exit": 3}, 0.9),
    "ledger": ({}, 0),
}
# What it takes to have an effect, and would have none without it.
TOGETHER: dict[str, dict[str, Any]] = {
    "num_beam_groups": {"diversity_penalty": 9.0},
    "diversity_penalty": {"num_beam_groups": 2},
    "penalty_alpha": {"top_k": 8},
}
BESIDE_THE_TEXT = (
    "num_return_sequences",
    "num_beam_groups",
    "diversity_penalty",
    "renormalize_logits",
    "prompt_lookup_num_tokens",
    "max_matching_ngram_size",
    "assistant_early_exit",
    "num_assistant_tokens",
    "assistant_confidence_threshold",
    "ledger",
)  # they change what is told with it

GREEDY = {"do_sample": False}
LLAMA = {"dialect": "llama.cpp", "mirostat": 2}  # which there leaves out most other filters
BEAMS = {"num_beams": 2}
# A request in which each could have no effect, or another would have none beside it.
USELESS: dict[str, dict[str, Any]] = {
    "max_length": {"max_length": 9, "max_new_tokens": 5},
    "min_new_tokens": {"min_new_tokens": 2},  # nothing but the length ends the answer
    "min_length": {"min_length": 4},
    "json_schema": {"json_schema": {}, "regex": "a"},
    "regex": {"regex": "a", "choice": "a"},
    "grammar": {"grammar": 'start: "a"', "choice": "a"},
    "choice": {"choice": "stop it", "stop": "stop"},
    "exponential_decay_length_penalty": {"exponential_decay_length_penalty": (2, 5.0)},
    "repetition_penalty": LLAMA | {"repetition_penalty": 2.0},
    "presence_penalty": LLAMA | {"presence_penalty": 2.0},
    "frequency_penalty": LLAMA | {"frequency_penalty": 2.0},
    "repeat_last_n": {"repeat_last_n": 3},
    "dry_multiplier": LLAMA | {"dry_multiplier": 2.0},
    "dry_base": {"dry_base": 3.0},
    "dry_allowed_length": {"dry_allowed_length": 5},
    "dry_penalty_last_n": {"dry_penalty_last_n": 5},
    "dry_sequence_breakers": {"dry_sequence_breakers": "p"},
    "negative_prompt": {"negative_prompt": "ab"},
    "negative_prompt_ids": {"negative_prompt_ids": [5]},
    "do_sample": {"do_sample": True, "temperature": 0},
    "temperature": GREEDY | {"temperature": 5.0},
    "top_k": GREEDY | {"top_k": 2},
    "top_p": GREEDY | {"top_p": 0.2},
    "min_p": GREEDY | {"min_p": 0.5},
    "typical_p": GREEDY | {"typical_p": 0.2},
    "top_h": GREEDY | {"top_h": 0.2},
    "epsilon_cutoff": GREEDY | {"epsilon_cutoff": 0.1},
    "eta_cutoff": GREEDY | {"eta_cutoff": 0.5},
    "seed": {"seed": 2},
    "dynatemp_range": GREEDY | {"dynatemp_range": 1.0},
    "dynatemp_exponent": {"dynatemp_exponent": 2.0},
    "top_n_sigma": GREEDY | {"top_n_sigma": 1.0},
    "xtc_probability": GREEDY | {"xtc_probability": 0.5},
    "xtc_threshold": {"xtc_threshold": 0.2},
    "min_keep": {"min_keep": 2},
    "mirostat": GREEDY | {"mirostat": 2},
    "mirostat_tau": {"mirostat_tau": 1.0},
    "mirostat_eta": {"mirostat_eta": 1.0},
    "adaptive_target": GREEDY | {"adaptive_target": 0.5},
    "adaptive_decay": {"adaptive_decay": 0.5},
    "dialect": DRAWN | {"dialect": "vllm", "top_k": 3},  # one filter has no order
    "samplers": DRAWN | {"samplers": "top_k", "top_k": 3},
    "num_return_sequences": {"num_return_sequences": 3},
    "num_beams": BEAMS | {"penalty_alpha": 0.5, "top_k": 4},
    "length_penalty": {"length_penalty": 0.0},
    "early_stopping": {"early_stopping": True},
    "num_beam_groups": BEAMS | {"num_beam_groups": 2},
    "diversity_penalty": BEAMS | {"diversity_penalty": 2.0},
    "force_words": {"force_words": "a"},
    "force_words_ids": {"force_words_ids": [[5]]},
    "best_of": {"best_of": 3},
    "penalty_alpha": {"penalty_alpha": 0.5},  # nothing to compare
    "dola_layers": BEAMS | {"dola_layers": "high"},
    "prompt_lookup_num_tokens": BEAMS | {"prompt_lookup_num_tokens": 3},
    "max_matching_ngram_size": {"max_matching_ngram_size": 1},
    "assistant_early_exit": BEAMS | {"assistant_early_exit": 3},
    "num_assistant_tokens": {"num_assistant_tokens": 2},
    "assistant_confidence_threshold": {"assistant_confidence_threshold": 0.5},
}
NEEDS_AN_END = ("min_new_tokens", "min_length", "exponential_decay_length_penalty")
ALWAYS_ACTS = (
    "max_new_tokens", "stop", "stop_token_ids",
    "encoder_repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
    "bad_words", "bad_words_ids", "sequence_bias", "logit_bias", "allowed_token_ids",
    "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id",
    "guidance_scale", "watermarking_config", "renormalize_logits", "ledger",
)  # fmt: skip  # whatever is given besides


def looping(ids: tuple[int, ...], logits: Any) -> Any:
    """Strongly wants to repeat "loop", so that penalties and stops have something to act on."""
    wanted = logits.copy()
    wanted[ord("loop"[len(ids) % 4])] = float(logits.max()) + 1.5
    return wanted


def answer(**given: Any) -> Generation:
    engine = Engine(ToyModel(spoil=looping), ByteTokenizer())
    return engine.generate([Request(PROMPT, parameters(**given))])[0]


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_changes_the_answer(name: str) -> None:
    besides, value = ACTS[name]
    without = answer(**besides) if name != "seed" else answer(**besides, seed=1)
    with_it = answer(**besides, **{name: value}, **TOGETHER.get(name, {}))
    assert with_it != without
    assert (with_it.text == without.text) == (name in BESIDE_THE_TEXT)


@pytest.mark.parametrize("name", [n for n, row in PARAMETERS.items() if row.neutral is not None])
def test_its_neutral_value_changes_nothing(name: str) -> None:
    besides, _ = ACTS[name]
    assert answer(**besides, **{name: PARAMETERS[name].neutral}) == answer(**besides)


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name not in ALWAYS_ACTS])
def test_it_is_refused_by_its_name_where_it_cannot_have_an_effect(name: str) -> None:
    engine = Engine(ToyModel(), ByteTokenizer() if name not in NEEDS_AN_END else None)
    with pytest.raises(ParameterError, match=rf"\b{name}\b"):
        engine.start(Request(PROMPT, parameters(**USELESS[name])))


def test_temperature_0_is_greedy() -> None:
    assert answer(temperature=0, top_k=0, top_p=1, min_p=0, typical_p=1) == answer()


def test_the_penalties_count_what_their_formulas_count() -> None:
    """Presence and frequency look at the answer alone; repetition at the prompt too."""
    said = greedy_after(PROMPT, 1)[0]

    def prompt_wanted(ids: tuple[int, ...], logits: Any) -> Any:
        wanted = logits.copy()
        wanted[PROMPT[0]] = float(logits_after(tuple(PROMPT))[said]) + 1
        return wanted

    engine = Engine(ToyModel(spoil=prompt_wanted))

    def first(**given: Any) -> int:
        chosen = parameters(max_new_tokens=1, **given)
        return engine.generate([Request(PROMPT, chosen)])[0].ids[0]

    assert first() == PROMPT[0]
    assert first(presence_penalty=2, frequency_penalty=2) == PROMPT[0]
    assert first(repetition_penalty=5.0) == said
