"""Writes tests/choose/golden/: what transformers' own decoding strategies answer on real models.

The folder is the outside truth for our strategies. Two versions of transformers are asked, since
newer ones no longer hold group beam, constrained beam, contrastive search and DoLa:

    python -m venv new && new/bin/pip install -c constraints.txt -e '.[dev]' transformers==5.23.0
    python -m venv old && old/bin/pip install -c constraints.txt torch transformers==4.55.4
    new/bin/python -m tests.choose.make_golden float32 GGUF FLOAT32   # once: about a minute, 1.6 GB
    new/bin/python -m tests.choose.make_golden golden FLOAT32         # greedy, beam, assisted
    old/bin/python -m tests.choose.make_golden golden FLOAT32         # the four removed ones

GGUF is a folder with smollm2.gguf and gemma3.gguf, FLOAT32 a folder that is filled with the same
models dequantised, so that both versions read the same numbers. A run of either version takes some
ten minutes on one thread, and replaces only its own files. Names of strategies after FLOAT32
restrict it to those.

A file holds one strategy: `transformers` and `torch` (their versions) and `cases`, one a line:

- `model`, `prompt`, `prompt_ids`, and `parameters`, under the names of transformers' `generate`.
  The padding token is always the (first) end token: a group of beams that is done early goes on
  saying it, which the penalty of later groups sees.
- `outputs`: the new ids of each returned sequence, cut after its first end token.
- `scores`: `sequences_scores` of the beam methods, else null.
- `margin`: the smallest gap between what was taken and the best that was left, over all steps, and
  between neighbours in the order returned; in the unit of what is compared there (logits, summed
  log-probabilities, contrastive scores). Where it is near the error of the numbers, another answer
  is a near-tie and no fault. It leaves out when beams stop, and DoLa's threshold. For constrained
  beams it is cautious: the smallest gap between any neighbours in the order of candidates. Null
  for prompt lookup, which answers what greedy does.
- `layer_margin`: for DoLa with several layers, the gap between the divergences of the two best,
  relative to the best.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from torch.overrides import TorchFunctionMode

GOLDEN = Path(__file__).parent / "golden"
Parameters = dict[str, Any]
Encode = Callable[[str], list[int]]

PROMPTS = {
    "smollm2": [
        "The lighthouse keeper climbed the stairs every evening, and",
        "To make good bread at home, you need",
    ],
    "gemma3": ["My grandmother told me that the garden"],
}
# Prompt lookup needs something to find again.
REPETITIVE = "The cat sat on the mat. The dog sat on the rug. The cat sat on the mat. The dog"


# --- The cases. Text stands for its ids: an end token, a bad word, a phrase. --------------------


def greedy() -> Iterator[Parameters]:
    long = {"max_new_tokens": 24}
    yield long
    yield long | {"repetition_penalty": 1.2}
    yield long | {"no_repeat_ngram_size": 2}
    yield long | {"bad_words_ids": [" the", " was a", " of"]}
    yield long | {"eos_token_id": "."}
    yield long | {"eos_token_id": [".", ","], "min_new_tokens": 12}


def assisted() -> Iterator[Parameters]:
    for number, size in ((3, 2), (10, 3)):
        yield {
            "max_new_tokens": 24,
            "prompt_lookup_num_tokens": number,
            "max_matching_ngram_size": size,
        }


def beam() -> Iterator[Parameters]:
    for beams in (2, 4, 5):
        yield _beams(beams)
    four = _beams(4)
    ending = four | {"eos_token_id": "."}
    for penalty in (0.0, 0.5, 1.0, 2.0, -1.0):
        yield ending | {"length_penalty": penalty}
    for early, penalty in (
        (True, 1.0),
        (True, 0.0),
        ("never", 1.0),
        ("never", 2.0),
        ("never", -1.0),
    ):
        yield ending | {"early_stopping": early, "length_penalty": penalty}
    yield _beams(2) | {"eos_token_id": "."}
    yield _beams(5) | {"eos_token_id": [".", ","], "num_return_sequences": 3}
    yield ending | {"min_new_tokens": 12}
    yield four | {"repetition_penalty": 1.2}
    yield four | {"no_repeat_ngram_size": 2}
    yield four | {"bad_words_ids": [" the", " was a", " of"]}
    yield _beams(5) | {
        "eos_token_id": ".",
        "repetition_penalty": 1.2,
        "no_repeat_ngram_size": 2,
        "length_penalty": 0.5,
        "early_stopping": True,
    }


def group_beam() -> Iterator[Parameters]:
    shapes = ((4, 2, 0.5), (4, 2, 1.5), (6, 3, 0.5), (6, 3, 1.5), (6, 2, 1.5))
    for beams, groups, penalty in shapes:
        yield _groups(beams, groups, penalty)
    for early in (False, True, "never"):
        yield _groups(4, 2, 0.5) | {"eos_token_id": ".", "early_stopping": early}
    for length in (0.0, 2.0, -1.0):
        yield _groups(6, 3, 1.5) | {"eos_token_id": ".", "length_penalty": length}
    yield _groups(6, 2, 0.5) | {"eos_token_id": [".", ","], "num_return_sequences": 2}
    yield _groups(4, 2, 1.5) | {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2}


def constrained_beam() -> Iterator[Parameters]:
    two = [" water", " in the morning"]
    alternatives = [[" summer", " cold winter", " spring rain"]]
    forced: list[list[str | list[str]]] = [
        [" bright"],
        [" old friend of mine"],
        [*two],
        [*alternatives],
        [[" very happy", " very old indeed"], " water"],  # these part after their first word
        [" light"],  # the first prompt holds it already
    ]
    for words in forced:
        yield _forced(4, words)
    for words in forced[2:5]:
        yield _forced(8, words) | {"num_return_sequences": 2}
    # Where fewer beams comply than are wanted, others come back too.
    yield _forced(4, two) | {"num_return_sequences": 4}
    ending = _forced(4, two) | {"eos_token_id": "."}
    yield ending
    yield ending | {"early_stopping": True, "length_penalty": 0.0}
    yield ending | {"early_stopping": "never", "length_penalty": 2.0}
    yield _forced(4, alternatives) | {"eos_token_id": ".", "repetition_penalty": 1.2}


def _forced(beams: int, words: Sequence[str | list[str]]) -> Parameters:
    return _beams(beams) | {"num_return_sequences": 1, "force_words_ids": words}


def contrastive() -> Iterator[Parameters]:
    for alpha, top_k in ((0.6, 4), (0.3, 8)):
        search = {"max_new_tokens": 24, "penalty_alpha": alpha, "top_k": top_k}
        yield search
        yield search | {"repetition_penalty": 1.2}
    yield {"max_new_tokens": 24, "penalty_alpha": 0.6, "top_k": 4, "eos_token_id": "."}


def dola() -> Iterator[Parameters]:
    for layers in ("low", "high", [3, 9, 14], [8]):
        yield {"max_new_tokens": 20, "dola_layers": layers}
        yield {"max_new_tokens": 20, "dola_layers": layers, "repetition_penalty": 1.2}
    yield {"max_new_tokens": 20, "dola_layers": "high", "eos_token_id": "."}


def _beams(beams: int) -> Parameters:
    return {"max_new_tokens": 20, "num_beams": beams, "num_return_sequences": beams}


def _groups(beams: int, groups: int, penalty: float) -> Parameters:
    return _beams(beams) | {"num_beam_groups": groups, "diversity_penalty": penalty}


STRATEGIES: dict[int, list[Callable[[], Iterator[Parameters]]]] = {
    5: [greedy, beam, assisted],
    4: [group_beam, constrained_beam, contrastive, dola],
}


def encoded(parameters: Parameters, encode: Encode, eos: int) -> Parameters:
    """The parameters with ids for text, and their end tokens named."""
    found = dict(parameters)
    ends = found.get("eos_token_id", eos)
    if isinstance(ends, str):
        (ends,) = encode(ends)
    elif isinstance(ends, list):
        ends = [encode(end)[0] for end in ends]
    found["eos_token_id"] = ends
    for name in ("bad_words_ids", "force_words_ids"):
        if name in found:
            found[name] = [
                encode(word) if isinstance(word, str) else [encode(one) for one in word]
                for word in found[name]
            ]
    return found


# --- Asking -------------------------------------------------------------------------------------


def ask(model: Any, ids: list[int], parameters: Parameters) -> dict[str, Any]:
    """What `generate` answers, as a case's `outputs`, `scores` and margins."""
    ends = torch.tensor(parameters["eos_token_id"]).reshape(-1)
    margins = Margins(parameters, ends, model.config.vocab_size)
    with torch.no_grad(), margins:
        answer = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            do_sample=False,
            pad_token_id=int(ends[0]),
            return_dict_in_generate=True,
            output_scores=True,
            **parameters,
        )
    scores = getattr(answer, "sequences_scores", None)
    if scores is not None:
        margins.gaps += (-scores.diff()).tolist()
    answered: dict[str, Any] = {
        "outputs": [to_end(row[len(ids) :], ends.tolist()) for row in answer.sequences.tolist()],
        "scores": None if scores is None else [round(score, 6) for score in scores.tolist()],
    }
    return answered | margins.summary()


def to_end(ids: list[int], ends: list[int]) -> list[int]:
    first = next((at for at, token in enumerate(ids) if token in ends), len(ids))
    return ids[: first + 1]


class Margins(TorchFunctionMode):
    """Watches where `generate` chooses; keeps the gaps between what it took and what it left."""

    def __init__(self, parameters: Parameters, ends: torch.Tensor, vocab_size: int) -> None:
        super().__init__()
        self.beams = "num_beams" in parameters
        self.ends = ends
        self.vocab_size = vocab_size
        self.gaps: list[float] = []
        self.layer_gaps: list[float] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.argmax:  # greedy and DoLa: scores [1, vocab]
            self.gaps.append(lead(args[0][0]))
        elif func is torch.Tensor.argmax and args[0].dim() == 1:  # DoLa: divergences [layers]
            self.layer_gaps.append(lead(args[0]) / args[0].max().item())
        elif func is torch.Tensor.max and args[0].dim() == 2:  # contrastive: scores [1, top_k]
            self.gaps.append(lead(args[0][0]))
        elif func is torch.Tensor.sort:  # constrained: the candidates, by bank and score
            self.gaps += (-result.values.diff()).tolist()
        elif func is torch.topk and self.beams:
            self.gaps += self._of_beams(args[0], *result)
        return result

    def _of_beams(
        self, scores: torch.Tensor, values: torch.Tensor, indices: torch.Tensor
    ) -> list[float]:
        """Gaps of one selection: `values` [1, n], the best of `scores` [1, candidates]."""
        count = values.shape[-1]
        if scores.shape[-1] < self.vocab_size:  # which run on, or which finished ones stay
            *_, last, next_ = torch.topk(scores[0], count + 1).values.tolist()
            return [last - next_] if next_ > -1e8 else []  # -1e9: no candidate at all
        beams = count // max(2, 1 + len(self.ends))
        ending = torch.isin(indices[0] % self.vocab_size, self.ends)
        if not ending.any():
            return [(values[0, beams - 1] - values[0, beams]).item()]
        running = values[0, ~ending]  # an end counts only among the first `beams`
        kept = [values[0, beams - 1] - values[0, beams]]
        if len(running) > beams:
            kept.append(running[beams - 1] - running[beams])
        return [gap.item() for gap in kept]

    def summary(self) -> dict[str, float | None]:
        gaps = [gap for gap in self.gaps if not math.isnan(gap)]  # two forbidden ones differ by nan
        found: dict[str, float | None] = {"margin": rounded(min(gaps)) if gaps else None}
        if self.layer_gaps:
            found["layer_margin"] = rounded(min(self.layer_gaps))
        return found


def lead(scores: torch.Tensor) -> float:
    first, second = torch.topk(scores, 2).values.tolist()
    return float(first - second)


def rounded(number: float) -> float:
    return float(f"{number:.3g}")


# --- Models and files ---------------------------------------------------------------------------


def save_float32(gguf: Path, folder: Path) -> None:
    """The models of both GGUF files as transformers dequantises them, and their tokenizers."""
    from tests.model.oracle import oracle_folder  # the old version lacks what it imports

    for name in PROMPTS:
        kept = oracle_folder(name, gguf / f"{name}.gguf", folder).rename(folder / name)
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf, gguf_file=f"{name}.gguf")
        tokenizer.save_pretrained(kept)


def open_model(folder: Path) -> tuple[Any, Tokenizer]:
    config = transformers.AutoConfig.from_pretrained(folder)
    if major_version() == 4:  # it knows the rope bases under other names than version 5 saved
        rope = config.rope_parameters
        config.rope_theta = rope.get("full_attention", rope)["rope_theta"]
        if "sliding_attention" in rope:
            config.rope_local_base_freq = rope["sliding_attention"]["rope_theta"]
    loader: Any = transformers.AutoModelForCausalLM
    model = loader.from_pretrained(folder, config=config).eval()
    return model, Tokenizer.from_file(str(folder / "tokenizer.json"))


def major_version() -> int:
    return int(transformers.__version__.split(".", maxsplit=1)[0])


def write_golden(folder: Path, names: list[str]) -> None:
    """Runs the strategies of the installed version, or those of `names`."""
    models = {name: open_model(folder / name) for name in PROMPTS}
    for strategy in STRATEGIES[major_version()]:
        if not names or strategy.__name__ in names:
            cases = [case for name, model in models.items() for case in run(strategy, name, *model)]
            write(GOLDEN / f"{strategy.__name__}.json", cases)


def run(
    strategy: Callable[[], Iterator[Parameters]], name: str, model: Any, tokenizer: Tokenizer
) -> Iterator[dict[str, Any]]:
    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    repetitive = [REPETITIVE] if strategy in (greedy, assisted) else []
    for prompt in PROMPTS[name] + repetitive:
        ids = list(tokenizer.encode(prompt).ids)
        for plain in strategy():
            parameters = encoded(plain, encode, model.generation_config.eos_token_id)
            case = {"model": name, "prompt": prompt, "prompt_ids": ids, "parameters": parameters}
            case |= ask(model, ids, parameters)
            print(strategy.__name__, name, plain, case["margin"], file=sys.stderr, flush=True)
            yield case


def write(path: Path, cases: list[dict[str, Any]]) -> None:
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    versions = f'"transformers":"{transformers.__version__}","torch":"{torch.__version__}"'
    path.write_text(f'{{{versions},"cases":[\n{lines}\n]}}\n', encoding="utf-8")


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    match arguments:
        case ["float32", gguf, folder]:
            save_float32(Path(gguf), Path(folder))
        case ["golden", folder, *names]:
            write_golden(Path(folder), names)
        case _:
            sys.exit("usage: make_golden.py float32 GGUF FLOAT32 | golden FLOAT32 [STRATEGY ...]")


if __name__ == "__main__":
    main(sys.argv[1:])
