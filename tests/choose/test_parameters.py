"""Generation parameters: what may be given, what is refused, and what each combination means."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from pellucid.choose.parameters import DEFAULT_NEW_TOKENS, PARAMETERS, parameters
from pellucid.errors import ParameterError

HUGE = 10**5000  # more digits than str() will write


def doubled(times: int) -> dict[str, object]:
    """A schema of few objects, whose text would have 2**times parts."""
    schema: dict[str, object] = {}
    for _ in range(times):
        schema = {"anyOf": [schema, schema]}
    return schema


REFUSED = [
    # numbers
    ({"temperature": -0.1}, "temperature: must be at least 0 and at most 1e+06, not -0.1"),
    ({"temperature": float("nan")}, "temperature: must be finite, not nan"),
    ({"temperature": float("inf")}, "temperature: must be finite, not inf"),
    ({"temperature": 1e400}, "temperature: must be finite, not inf"),
    ({"temperature": 10**400}, "temperature: must be finite, not an integer of 1329 bits"),
    ({"temperature": True}, "temperature: must be a number, not True"),
    ({"temperature": "0.7"}, "temperature: must be a number, not '0.7'"),
    ({"temperature": [0.7]}, "temperature: must be a number, not [0.7]"),
    ({"temperature": 1j}, "temperature: must be a number, not 1j"),
    ({"temperature": np.array([0.5, 0.6])}, "temperature: must be a number, not array("),
    ({"top_p": 0}, "top_p: must be above 0 and at most 1, not 0"),
    ({"top_p": 1.0000001}, "top_p: must be above 0 and at most 1, not 1.0000001"),
    ({"top_p": -0.5}, "top_p: must be above 0"),
    ({"top_p": False}, "top_p: must be a number, not False"),
    ({"top_p": float("nan")}, "top_p: must be finite"),
    ({"min_p": 1.01}, "min_p: must be at least 0 and at most 1, not 1.01"),
    ({"min_p": -1e-9}, "min_p: must be at least 0"),
    ({"typical_p": 0.0}, "typical_p: must be above 0"),
    ({"typical_p": 2}, "typical_p: must be above 0 and at most 1, not 2"),
    ({"repetition_penalty": 0}, "repetition_penalty: must be at least 0.001"),
    ({"repetition_penalty": -1.2}, "repetition_penalty: must be at least 0.001"),
    ({"repetition_penalty": 1e300}, "repetition_penalty: must be at least 0.001 and at most 1000"),
    ({"presence_penalty": 2.1}, "presence_penalty: must be at least -2 and at most 2, not 2.1"),
    ({"frequency_penalty": float("-inf")}, "frequency_penalty: must be finite"),
    # whole numbers
    ({"top_k": -1}, "top_k: must be a whole number from 0 to 2147483647, not -1"),
    ({"top_k": 5.0}, "top_k: must be a whole number, not 5.0"),
    ({"top_k": True}, "top_k: must be a whole number, not True"),
    ({"top_k": "5"}, "top_k: must be a whole number, not '5'"),
    ({"top_k": np.array([1, 2])}, "top_k: must be a whole number, not array([1, 2])"),
    ({"max_new_tokens": 0}, "max_new_tokens: must be a whole number from 1 to"),
    ({"max_new_tokens": -1}, "max_new_tokens: must be a whole number from 1 to"),
    ({"max_new_tokens": 2**63}, "not 9223372036854775808"),
    ({"max_new_tokens": HUGE}, "not an integer of 16610 bits"),
    ({"max_length": 0}, "max_length: must be a whole number from 1 to"),
    ({"min_new_tokens": -1}, "min_new_tokens: must be a whole number from 0 to"),
    ({"min_length": 2**31}, "min_length: must be a whole number from 0 to"),
    ({"seed": -1, "do_sample": True}, "seed: must be a whole number from 0 to"),
    ({"seed": 2**64, "do_sample": True}, "seed: must be a whole number from 0 to"),
    ({"seed": 1.5, "do_sample": True}, "seed: must be a whole number, not 1.5"),
    ({"num_return_sequences": 0}, "num_return_sequences: must be a whole number from 1 to 128"),
    ({"num_beams": 0}, "num_beams: must be a whole number from 1 to 128, not 0"),
    ({"num_beams": 10**9}, "num_beams: must be a whole number from 1 to 128"),
    ({"length_penalty": 11, "num_beams": 2}, "length_penalty: must be at least -10 and at most 10"),
    ({"early_stopping": 1, "num_beams": 2}, "early_stopping: must be True, False or never, not 1"),
    ({"early_stopping": "ever", "num_beams": 2}, "early_stopping: must be True, False or never"),
    ({"diversity_penalty": -1}, "diversity_penalty: must be at least 0"),
    ({"best_of": 129, "top_k": 5}, "best_of: must be a whole number from 1 to 128, not 129"),
    (
        {"prompt_lookup_num_tokens": 0},
        "prompt_lookup_num_tokens: must be a whole number from 1 to 64",
    ),
    (
        {"max_matching_ngram_size": 2},
        "max_matching_ngram_size: has no effect without prompt_lookup_num_tokens",
    ),
    ({"assistant_early_exit": 0}, "assistant_early_exit: must be a whole number from 1 to"),
    ({"num_assistant_tokens": 65}, "num_assistant_tokens: must be a whole number from 1 to 64"),
    (
        {"assistant_confidence_threshold": 1.5},
        "assistant_confidence_threshold: must be at least 0 and at most 1",
    ),
    ({"ledger": 1001}, "ledger: must be a whole number from 0 to 1000, not 1001"),
    # llama.cpp's filters
    ({"dry_multiplier": -1}, "dry_multiplier: must be at least 0 and at most 1000"),
    ({"dry_base": 0.9, "dry_multiplier": 1}, "dry_base: must be at least 1 and at most 1000"),
    ({"dry_base": 2}, "dry_base: has no effect without dry_multiplier"),
    ({"dry_allowed_length": 3}, "dry_allowed_length: has no effect without dry_multiplier"),
    ({"dry_penalty_last_n": 64}, "dry_penalty_last_n: has no effect without dry_multiplier"),
    ({"dry_sequence_breakers": "."}, "dry_sequence_breakers: has no effect without dry_multiplier"),
    ({"dynatemp_range": 0.5, "temperature": 0}, "dynatemp_range: has no effect with temperature=0"),
    ({"dynatemp_exponent": 2}, "dynatemp_exponent: has no effect without dynatemp_range"),
    ({"top_n_sigma": 1, "do_sample": False}, "top_n_sigma: has no effect with do_sample=False"),
    ({"xtc_probability": 1.5}, "xtc_probability: must be at least 0 and at most 1, not 1.5"),
    ({"xtc_threshold": 0.51}, "xtc_threshold: must be above 0 and at most 0.5, not 0.51"),
    ({"xtc_threshold": 0.2}, "xtc_threshold: has no effect without xtc_probability"),
    ({"min_keep": 5}, "min_keep: has no effect without top_p or min_p or typical_p or xtc_prob"),
    ({"mirostat": 3}, "mirostat: must be a whole number from 0 to 2, not 3"),
    ({"mirostat_tau": 3}, "mirostat_tau: has no effect without mirostat"),
    ({"mirostat_eta": 0.2}, "mirostat_eta: has no effect without mirostat"),
    ({"adaptive_target": -1}, "adaptive_target: must be at least 0 and at most 1, not -1"),
    ({"adaptive_decay": 0.5}, "adaptive_decay: has no effect without adaptive_target"),
    ({"mirostat": 2, "top_k": 5, "dialect": "llama.cpp"}, "top_k: has no effect beside mirostat"),
    # names of filters
    ({"dialect": "ollama"}, "dialect: must be transformers or llama.cpp or vllm, not 'ollama'"),
    ({"dialect": 1}, "dialect: must be transformers or llama.cpp or vllm, not 1"),
    ({"samplers": "top_k;topp"}, "samplers: has 'topp', which is no filter's name; did you mean"),
    ({"samplers": ["top_k", 5]}, "samplers: has 5, which is no filter's name"),
    ({"samplers": "top_k;temp;top-k"}, "samplers: has top_k twice"),
    ({"samplers": "top_k;" * 65}, "samplers: a list may have at most 64 values"),
    ({"samplers": ["top_k"] * 65}, "samplers: a list may have at most 64 values"),
    ({"samplers": ""}, "samplers: has '', which is no filter's name"),
    ({"samplers": []}, "samplers: an empty list has no effect"),
    ({"samplers": 5}, "samplers: must be one value or a list of them, not 5"),
    ({"samplers": "top_k", "dialect": "vllm"}, "samplers: excludes dialect: give one of the two"),
    # the rest
    ({"do_sample": 1}, "do_sample: must be True or False, not 1"),
    ({"do_sample": "yes"}, "do_sample: must be True or False, not 'yes'"),
    ({"stop": ""}, "stop: an empty text is found everywhere; leave it out"),
    ({"stop": ["a", ""]}, "stop: an empty text"),
    ({"stop": []}, "stop: an empty list has no effect; leave it out"),
    ({"stop": "x" * 1_000_000}, "stop: a text has 1000000 characters; at most 4096 are allowed"),
    ({"stop": ["x"] * 65}, "stop: a list may have at most 64 values"),
    ({"stop": iter(lambda: "x", None)}, "stop: a list may have at most 64 values"),
    ({"stop": 5}, "stop: must be one value or a list of them, not 5"),
    ({"stop": b"END"}, "stop: must be one value or a list of them, not b'END'"),
    ({"stop": ["END", 5]}, "stop: must hold texts, not 5"),
    ({"stop": "a\ud800"}, "stop: a lone surrogate at character 1"),
    ({"stop_token_ids": -1}, "stop_token_ids: must be a whole number from 0 to"),
    ({"stop_token_ids": [3, 2.0]}, "stop_token_ids: must be a whole number, not 2.0"),
    ({"stop_token_ids": []}, "stop_token_ids: an empty list has no effect"),
    ({"stop_token_ids": [True]}, "stop_token_ids: must be a whole number, not True"),
    ({"stop_token_ids": range(10**12)}, "stop_token_ids: a list may have at most 4096 values"),
    ({"force_words": "", "num_beams": 2}, "force_words: an empty text"),
    (
        {"force_words_ids": [5], "num_beams": 2},
        "force_words_ids: must be a list of lists of token ids; 5 stands alone",
    ),
    ({"force_words_ids": [[]], "num_beams": 2}, "force_words_ids: an empty list has no effect"),
    ({"force_words_ids": [[1]] * 65, "num_beams": 2}, "a list may have at most 64 values"),
    ({"force_words_ids": [[1] * 257], "num_beams": 2}, "a list may have at most 256 values"),
    (
        {"force_words_ids": [[[1, 2], [1, 2, 3]]], "num_beams": 2},
        "force_words_ids: one alternative begins with another, [1, 2]; leave the longer one out",
    ),
    ({"stop_token_ids": "12"}, "stop_token_ids: must be one value or a list of them, not '12'"),
    ({"bad_words": ["a", 5]}, "bad_words: must hold texts, not 5"),
    ({"bad_words_ids": [1, 2]}, "bad_words_ids: must be a list of lists of token ids; 1 stands"),
    ({"bad_words_ids": [[]]}, "bad_words_ids: an empty list has no effect"),
    ({"bad_words_ids": [[1] * 257]}, "bad_words_ids: a list may have at most 256 values"),
    ({"bad_words_ids": [[1]] * 4097}, "bad_words_ids: a list may have at most 4096 values"),
    ({"bad_words_ids": [[-1]]}, "bad_words_ids: must be a whole number from 0"),
    ({"logit_bias": {5: 101}}, "logit_bias: must be at least -100 and at most 100, not 101"),
    ({"logit_bias": {"x": 1}}, "logit_bias: must be a whole number, not 'x'"),
    ({"logit_bias": {"5": 1, 5: 2}}, "logit_bias: 5 is given twice"),
    ({"logit_bias": [5]}, "logit_bias: must be one value or a list of them, not 5"),
    ({"logit_bias": [(5,)]}, "logit_bias: must be pairs of what is meant and a number"),
    ({"logit_bias": {}}, "logit_bias: an empty list has no effect"),
    ({"sequence_bias": {(1, 2): float("-inf")}}, "sequence_bias: must be finite"),
    ({"sequence_bias": [[[1], 1.0], [(1,), 2.0]]}, "sequence_bias: (1,) is given twice"),
    ({"allowed_token_ids": [1.5]}, "allowed_token_ids: must be a whole number, not 1.5"),
    ({"suppress_tokens": []}, "suppress_tokens: an empty list has no effect"),
    ({"begin_suppress_tokens": "5"}, "begin_suppress_tokens: must be one value or a list"),
    ({"forced_bos_token_id": -1}, "forced_bos_token_id: must be a whole number from 0 to"),
    ({"forced_eos_token_id": None, "forced_bos_token_id": True}, "forced_bos_token_id: must be a"),
    ({"forced_eos_token_id": [True]}, "forced_eos_token_id: must be a whole number, not True"),
    ({"exponential_decay_length_penalty": 5}, "exponential_decay_length_penalty: must be one"),
    ({"exponential_decay_length_penalty": [5]}, "must be a number of tokens, and a factor above 0"),
    ({"exponential_decay_length_penalty": (5, 0)}, "must be above 0 and at most 100, not 0"),
    ({"encoder_repetition_penalty": 0}, "encoder_repetition_penalty: must be at least 0.001"),
    ({"repeat_last_n": -2, "repetition_penalty": 2}, "repeat_last_n: must be a whole number from"),
    ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size: must be a whole number from 0"),
    ({"encoder_no_repeat_ngram_size": 2.0}, "encoder_no_repeat_ngram_size: must be a whole"),
    ({"top_h": 0}, "top_h: must be above 0 and at most 1, not 0"),
    ({"epsilon_cutoff": 1.5}, "epsilon_cutoff: must be at least 0 and at most 1, not 1.5"),
    ({"eta_cutoff": -0.1}, "eta_cutoff: must be at least 0 and at most 1, not -0.1"),
    ({"guidance_scale": -1}, "guidance_scale: must be at least 0 and at most 1000, not -1"),
    ({"guidance_scale": 2, "negative_prompt": 5}, "negative_prompt: must be a text, not 5"),
    ({"guidance_scale": 2, "negative_prompt_ids": "a"}, "negative_prompt_ids: must be one value"),
    ({"watermarking_config": True}, "watermarking_config: must be settings by name, not True"),
    ({"watermarking_config": {"gamma": 1}}, "watermarking_config: 'gamma' is no setting; known"),
    ({"watermarking_config": {"greenlist_ratio": 1}}, "greenlist_ratio: must be above 0 and at"),
    ({"watermarking_config": {"hashing_key": 2**63}}, "hashing_key: must be a whole number from 0"),
    ({"watermarking_config": {"seeding_scheme": "x"}}, "must be lefthash or selfhash, not 'x'"),
    ({"renormalize_logits": 1}, "renormalize_logits: must be True or False, not 1"),
    # the form of the answer
    ({"json_schema": 5}, "json_schema: must be a JSON schema, which is an object, not 5"),
    ({"json_schema": "[1]"}, "json_schema: must be a JSON schema, which is an object, not [1]"),
    ({"json_schema": "{"}, "json_schema: is no JSON: Expecting property name"),
    ({"json_schema": '{"maximum": NaN}'}, "json_schema: NaN is no JSON"),
    ({"json_schema": {"maximum": float("inf")}}, "json_schema: is no JSON"),
    ({"json_schema": {"const": {1, 2}}}, "json_schema: is no JSON: it holds {1, 2}"),
    ({"json_schema": '{"a":' * 10_000}, "json_schema: is nested too deep"),
    ({"json_schema": '{"a":[' * 51 + "]}" * 51}, "json_schema: is nested too deep; at most 100"),
    ({"json_schema": " " * 10**6}, "json_schema: a text has 1000000 characters; at most 65536"),
    ({"json_schema": doubled(60)}, "json_schema: has more than 65536 characters"),
    ({"regex": b"a"}, "regex: must be a text, not b'a'"),
    ({"regex": "a" * 65537}, "regex: a text has 65537 characters; at most 65536 are allowed"),
    ({"grammar": ["a"]}, "grammar: must be a text, not ['a']"),
    ({"choice": []}, "choice: an empty list has no effect; leave it out"),
    ({"choice": ["a", ""]}, "choice: an empty text is no answer to choose"),
    ({"choice": ["a", 1]}, "choice: must be a text, not 1"),
    ({"choice": ["a"] * 1001}, "choice: a list may have at most 1000 values"),
    ({"choice": ["a" * 60_000, "b" * 6_000]}, "choice: the texts have more than 65536 characters"),
    ({"choice": "a", "regex": "b"}, "regex: excludes choice: give one of the two"),
    ({"json_schema": {}, "grammar": "start: /a/"}, "json_schema: excludes grammar: give one of"),
    ({"choice": ["yes", "oh"], "stop": ["e", "h"]}, "choice: every text holds a stop text, so"),
    # names
    ({"top_kk": 5}, "top_kk: no such parameter; did you mean top_k?"),
    ({"max_tokens": 5}, "max_tokens: no such parameter; did you mean max_new_tokens?"),
    ({"temp": 1}, "temp: no such parameter; did you mean temperature?"),
    ({"n_gpu": 1}, "n_gpu: no such parameter; `pellucid generate --help` has all"),
    ({"x" * 10**6: 1}, "xxx"),
    # what has no effect beside the others
    ({"temperature": 0.7, "do_sample": False}, "temperature: has no effect with do_sample=False"),
    ({"top_k": 5, "do_sample": False}, "top_k: has no effect with do_sample=False"),
    ({"top_p": 0.9, "do_sample": False}, "top_p: has no effect with do_sample=False"),
    ({"min_p": 0.1, "do_sample": False}, "min_p: has no effect with do_sample=False"),
    ({"typical_p": 0.5, "do_sample": False}, "typical_p: has no effect with do_sample=False"),
    ({"temperature": 0, "top_k": 5}, "top_k: has no effect with temperature=0"),
    ({"temperature": 0, "top_p": 0.9}, "top_p: has no effect with temperature=0"),
    ({"temperature": 0, "min_p": 0.1}, "min_p: has no effect with temperature=0"),
    ({"temperature": 0, "typical_p": 0.5}, "typical_p: has no effect with temperature=0"),
    ({"temperature": 0, "do_sample": True}, "do_sample: True contradicts temperature=0"),
    ({"repeat_last_n": 5}, "repeat_last_n: has no effect without repetition_penalty or presence"),
    ({"negative_prompt": "a"}, "negative_prompt: has no effect without guidance_scale"),
    ({"negative_prompt": "a", "guidance_scale": 1}, "negative_prompt: has no effect without"),
    (
        {"negative_prompt": "a", "negative_prompt_ids": [1], "guidance_scale": 2},
        "negative_prompt: excludes negative_prompt_ids: give one",
    ),
    ({"seed": 1}, "seed: has no effect without sampling; give do_sample=True too"),
    ({"seed": 1, "temperature": 0}, "seed: has no effect without sampling"),
    ({"max_new_tokens": 5, "max_length": 9}, "max_length: excludes max_new_tokens"),
    ({"length_penalty": 2}, "length_penalty: has no effect without num_beams"),
    ({"early_stopping": True, "num_beams": 1}, "early_stopping: has no effect without num_beams"),
    ({"num_beam_groups": 2}, "num_beam_groups: has no effect without num_beams"),
    (
        {"num_beams": 4, "num_beam_groups": 2},
        "num_beam_groups: has no effect without diversity_penalty",
    ),
    (
        {"num_beams": 4, "diversity_penalty": 1},
        "diversity_penalty: has no effect without num_beam_groups",
    ),
    (
        {"num_beams": 4, "num_beam_groups": 3, "diversity_penalty": 1},
        "num_beam_groups: must divide num_beams, 4, not 3",
    ),
    (
        {"num_beams": 4, "num_return_sequences": 5},
        "num_return_sequences: must be at most num_beams, 4",
    ),
    (
        {"best_of": 3, "top_k": 5, "num_return_sequences": 4},
        "num_return_sequences: must be at most best_of, 3",
    ),
    (
        {"num_return_sequences": 2},
        "num_return_sequences: has no effect without sampling or num_beams: all would be the same",
    ),
    ({"best_of": 3}, "best_of: has no effect without sampling; give do_sample=True too"),
    ({"best_of": 3, "top_k": 5, "num_beams": 2}, "best_of: excludes num_beams"),
    ({"penalty_alpha": 1.1, "top_k": 4}, "penalty_alpha: must be at least 0 and at most 1"),
    ({"penalty_alpha": 0.6}, "penalty_alpha: needs top_k from 2 to 128: so many tokens are"),
    ({"penalty_alpha": 0.6, "top_k": 1}, "penalty_alpha: needs top_k from 2 to 128"),
    ({"penalty_alpha": 0.6, "top_k": 129}, "penalty_alpha: needs top_k from 2 to 128"),
    ({"penalty_alpha": 0.6, "top_k": 4, "top_p": 0.9}, "penalty_alpha: excludes sampling"),
    ({"penalty_alpha": 0.6, "top_k": 4, "do_sample": True}, "penalty_alpha: excludes sampling"),
    ({"penalty_alpha": 0.6, "top_k": 4, "seed": 1}, "seed: has no effect without sampling"),
    (
        {"penalty_alpha": 0.6, "top_k": 4, "num_return_sequences": 2},
        "penalty_alpha: excludes num_return_sequences",
    ),
    ({"dola_layers": "middle"}, "dola_layers: must be low, high, or at most 64 numbers of layers"),
    ({"dola_layers": [3, 5, 3]}, "dola_layers: has 3 twice"),
    ({"dola_layers": [-1]}, "dola_layers: must be a whole number from 0"),
    ({"dola_layers": []}, "dola_layers: an empty list has no effect"),
    ({"dola_layers": range(65)}, "dola_layers: a list may have at most 64 values"),
    ({"force_words": "a"}, "force_words: has no effect without num_beams"),
    ({"force_words_ids": [[5]]}, "force_words_ids: has no effect without num_beams"),
    (
        {"force_words": "a", "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1},
        "force_words: excludes num_beam_groups",
    ),
    ({"force_words": "a", "num_beams": 4, "top_k": 5}, "force_words: excludes sampling"),
    (
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1, "top_k": 5},
        "num_beam_groups: excludes sampling",
    ),
    ({"min_new_tokens": 5, "min_length": 9}, "min_length: excludes min_new_tokens"),
    (
        {"min_new_tokens": 6, "max_new_tokens": 5},
        "min_new_tokens: must be at most max_new_tokens, 5, not 6",
    ),
    ({"min_length": 6, "max_length": 5}, "min_length: must be at most max_length, 5, not 6"),
]


def describe(given: dict[str, object]) -> str:
    return ",".join(f"{name[:20]}={type(value).__name__}" for name, value in given.items())


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=[describe(g) for g, _ in REFUSED])
def test_a_value_that_cannot_be_meant_is_refused_in_one_short_line(
    given: dict[str, object], message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        parameters(**given)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_every_parameter_is_refused_for_some_value() -> None:
    refused = {str(message).partition(":")[0] for _, message in REFUSED}
    assert set(PARAMETERS) - refused == set()


@pytest.mark.parametrize(
    ("given", "sampling"),
    [
        ({}, False),
        ({"do_sample": False}, False),
        ({"do_sample": True}, True),
        ({"temperature": 0.7}, True),
        ({"temperature": 1}, True),
        ({"top_k": 40}, True),
        ({"top_p": 0.9}, True),
        ({"min_p": 0.1}, True),
        ({"typical_p": 0.9}, True),
        ({"top_p": 0.9, "seed": 7}, True),
        ({"temperature": 0}, False),
        ({"temperature": 0, "do_sample": False}, False),
        ({"temperature": 0, "top_k": 0, "top_p": 1, "min_p": 0, "typical_p": 1}, False),
        ({"repetition_penalty": 1.2, "presence_penalty": 1, "frequency_penalty": 1}, False),
        ({"temperature": None, "top_k": None, "seed": None}, False),
        ({"penalty_alpha": 0.6, "top_k": 4}, False),
        ({"penalty_alpha": 0.6, "top_k": 4, "temperature": 0}, False),
        ({"penalty_alpha": 0.0, "top_k": 4}, True),
    ],
)
def test_sampling_is_asked_for_by_giving_what_only_acts_on_draws(
    given: dict[str, object], sampling: bool
) -> None:
    assert parameters(**given).sampling is sampling


def test_values_come_back_in_plain_types_whatever_number_type_was_given() -> None:
    p = parameters(
        temperature=np.float32(0.5), top_k=np.int64(5), top_p=Fraction(1, 2), stop="END", min_p=0
    )
    assert (p.temperature, p.top_k, p.top_p, p.stop, p.min_p) == (0.5, 5, 0.5, ("END",), 0.0)
    assert [type(v) for v in (p.temperature, p.top_k, p.top_p)] == [float, int, float]
    assert parameters(stop_token_ids=np.array([3, 4])).stop_token_ids == (3, 4)
    assert parameters(stop_token_ids=3).stop_token_ids == (3,)


def test_only_what_was_given_is_shown() -> None:
    assert repr(parameters(top_k=5, seed=1)) == "GenerationParameters(top_k=5, seed=1)"


def test_every_row_says_what_it_does_and_what_it_allows() -> None:
    for row in PARAMETERS.values():
        assert row.doc
        assert str(row.kind)
        if row.neutral is not None:
            assert row.kind.check(row.name, row.neutral) == row.neutral


@pytest.mark.parametrize(
    ("given", "prompt", "context", "most", "least"),
    [
        ({}, 10, 1000, DEFAULT_NEW_TOKENS, 0),
        ({}, 990, 1000, 10, 0),
        ({"max_new_tokens": 20}, 10, 1000, 20, 0),
        ({"max_new_tokens": 20}, 985, 1000, 15, 0),
        ({"max_length": 30}, 10, 1000, 20, 0),
        ({"max_length": 2000}, 10, 1000, 990, 0),
        ({"max_length": 30, "min_length": 25}, 10, 1000, 20, 15),
        ({"min_length": 5}, 10, 1000, DEFAULT_NEW_TOKENS, 0),
        ({"min_new_tokens": 5}, 10, 1000, DEFAULT_NEW_TOKENS, 5),
    ],
)
def test_lengths_become_concrete_for_a_prompt(
    given: dict[str, object], prompt: int, context: int, most: int, least: int
) -> None:
    resolved = parameters(**given).resolve(prompt, context, end_ids=[0])
    assert (resolved.max_new_tokens, resolved.min_new_tokens) == (most, least)
    assert resolved.resolve(prompt, context, end_ids=[0]) == resolved


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_length": 10}, "max_length: must be above 10, the prompt's length, not 10"),
        ({"min_length": 500}, "min_length: asks for 490 new tokens; at most 256 can follow"),
        ({"min_new_tokens": 300}, "min_new_tokens: asks for 300 new tokens; at most 256"),
        ({"min_new_tokens": 5}, "min_new_tokens: has no effect: nothing but the length ends"),
    ],
)
def test_a_length_that_the_prompt_makes_impossible_is_refused(
    given: dict[str, object], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        parameters(**given).resolve(10, 1000)


def test_stop_tokens_join_the_models_own() -> None:
    resolved = parameters(stop_token_ids=[9, 2]).resolve(1, 100, end_ids=[5, 2])
    assert resolved.stop_token_ids == (2, 5, 9)


def test_what_a_step_of_beams_looks_at_is_bounded() -> None:
    many = {"num_beams": 128, "stop_token_ids": list(range(31))}
    assert parameters(**many).resolve(1, 100)
    with pytest.raises(ParameterError, match="stop_token_ids: 32 tokens end the answer; 128 beams"):
        parameters(**many).resolve(1, 100, end_ids=[31])


def test_a_seed_is_drawn_only_when_draws_need_one() -> None:
    assert parameters().resolve(1, 100).seed is None
    assert parameters(top_k=3, seed=5).resolve(1, 100).seed == 5
    drawn = {parameters(top_k=3).resolve(1, 100).seed for _ in range(10)}
    assert len(drawn) == 10
    assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in drawn)


def test_the_table_can_be_read_without_numpy() -> None:
    code = "import sys, pellucid.choose.parameters; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
