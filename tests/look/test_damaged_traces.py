"""A trace that somebody damaged is shown or refused, whatever was done to it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from pellucid.errors import FormatError, ParameterError, PellucidError
from pellucid.lm import LM, load
from pellucid.look.looking import Look, open_trace, views
from pellucid.look.view import View, plain
from pellucid.model.changes import scale
from pellucid.trace.file import KEY

from ..trace import induction

# What is asked of a view, beside what it shows unasked.
ASKED: dict[str, list[dict[str, Any]]] = {
    "attribution": [{"steps": 8, "test": 3}],
    "attention": [{}, {"layers": 1, "heads": 2}],
    "why": [{}, {"token": "i", "versus": "b"}],
    "occlusion": [{}, {"token": "i", "by": "hidden"}, {"token": "i", "by": "c"}],
    "ablation": [{}, {"token": "i", "by": "mean"}],
}
ANSWERS: dict[str, dict[str, Any]] = {
    "drawn": {"temperature": 0.9, "seed": 3, "max_new_tokens": 4},
    "searched": {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 4},
    "edited": {"max_new_tokens": 4},
}
RUNS = 100  # damaged files of each answer; ten thousand were tried when this was written

Damaged = tuple[dict[str, Any], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LM:
    folder = induction.write_model(tmp_path_factory.mktemp("models") / "induction")
    return load(folder, backend="reference")


@pytest.fixture(scope="module")
def saved(lm: LM, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A trace of such an answer that holds every view."""

    @cache
    def made(answer: str) -> Path:
        model = changed(lm) if answer == "edited" else lm
        look = model.look(induction.TEXT, **ANSWERS[answer])
        for _ in shown(look):
            pass
        look.save(path := tmp_path_factory.mktemp("traces") / "sound.trace")
        return path

    return made


def changed(lm: LM) -> LM:
    """The model under a change that is data, and one by a function."""
    return lm.edit("layers.1.heads.0", scale(0.5)).edit("embed", lambda rows, positions: rows)


@pytest.fixture
def sound(saved: Callable[[str], Path]) -> Callable[[str], Damaged]:
    """The header and the tensors of such a trace, to be damaged."""

    def read(answer: str) -> Damaged:
        with safe_open(saved(answer), "np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return json.loads(file.metadata()[KEY]), tensors

    return read


def shown(look: Look) -> Iterator[View]:
    """Every view of a run; those that are refused are left out."""
    yield look
    for name in views():
        for given in ASKED.get(name, [{}]):
            with suppress(PellucidError):
                yield getattr(look, name)(**given)


def opened(path: Path) -> Iterator[View]:
    """Every view of a trace, if it can be opened at all."""
    with suppress(PellucidError):
        yield from shown(open_trace(path))


def write(damaged: Damaged, path: Path) -> Path:
    header, tensors = damaged
    whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    save_file(whole, path, {KEY: json.dumps(header)})
    return path


@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_was_done_to_a_trace_it_is_shown_or_refused(
    answer: str, sound: Callable[[str], Damaged], tmp_path: Path
) -> None:
    whole = sound(answer)
    seen = 0
    for seed in range(RUNS):
        rng = random.Random(seed)
        header, tensors = json.loads(json.dumps(whole[0])), dict(whole[1])
        for _ in range(rng.choice([1, 1, 2])):
            change_field(rng, header) if rng.random() < 0.4 else change_array(rng, tensors)
        path = write((header, tensors), tmp_path / "damaged.trace")
        for view in opened(path):
            seen += 1
            with suppress(PellucidError):
                msgspec.json.encode(view.to_dict())
                plain(view.terminal(), 80)
                view.html()
                view.page()
    assert seen > RUNS, "nothing was damaged so little that there was something to show"


def change_field(rng: random.Random, header: dict[str, Any]) -> None:
    """Another value in place of any of the JSON, or none."""
    *way, last = rng.choice([*fields(header)])
    inner: Any = header
    for key in way:
        inner = inner[key]
    if rng.random() < 0.15:
        del inner[last]
    elif type(inner[last]) in (int, float) and rng.random() < 0.5:
        inner[last] += rng.choice([-1, 1, 100])
    else:
        inner[last] = rng.choice([
            None, 0, -1, 1, 7, 2**40, -(2**63), 10**400, 0.5, 1e39, "", "mean", "hidden",
            "\x1b[31m", [], [0], [-1], [99], {}, True,
        ])  # fmt: skip


def fields(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if way:
        yield way
    several = enumerate(value) if isinstance(value, list) else ()
    for key, one in value.items() if isinstance(value, dict) else several:
        yield from fields(one, (*way, key))


def change_array(rng: random.Random, tensors: dict[str, np.ndarray]) -> None:
    """Another shape, kind or number of any array, or none of it."""
    name = rng.choice(sorted(tensors))
    array = tensors.pop(name)
    kinds = np.float32, np.float64, np.int64, np.int32, np.uint8
    with np.errstate(invalid="ignore"):
        made = rng.choice([
            *(array.astype(kind) for kind in kinds), array[:-1], array[..., :-1], array[..., None],
            np.concatenate([array, array[-1:]]), array.T, array[None], None,
            *(spoiled(rng, array) for _ in range(6)),
        ])  # fmt: skip
    if made is not None:
        tensors[name] = made


def spoiled(rng: random.Random, array: np.ndarray) -> np.ndarray:
    """An array with one number, or all of them, changed to an extreme."""
    if array.dtype.kind == "f":
        extreme = rng.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e20, 800.0, -1.0, 0.0])
    else:
        extreme = rng.choice([-1, 0, 1, 23, 24, 99, 2**31, 2**62]) % (1 << 8 * array.itemsize - 1)
    made = array.copy()
    made.flat[slice(None) if rng.random() < 0.5 else slice(0, 1)] = extreme
    return made


def one_more(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, np.zeros_like(array[:1])]) if len(array) else np.array([7])


def another_kind(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64 if array.dtype == np.float32 else np.int32)


def beyond(array: np.ndarray) -> np.ndarray:
    return np.full_like(array, 3e38 if array.dtype == np.float32 else 1 << 40)


@pytest.mark.parametrize("damage", [None, one_more, another_kind, beyond])
def test_every_array_of_every_reading_is_checked(
    damage: Callable[[np.ndarray], np.ndarray] | None,
    sound: Callable[[str], Damaged],
    tmp_path: Path,
) -> None:
    header, tensors = sound("drawn")
    checked = [name for name in tensors if name.startswith("readings/")]
    assert {header["readings"][int(name.split("/")[1])]["name"] for name in checked} == {
        "next", "lens", "why", "neurons", "ablation", "neighbours", "map", "attribution",
        "occlusion",
    }  # fmt: skip
    for name in checked:
        others = {other: array for other, array in tensors.items() if other != name}
        if damage is beyond and not tensors[name].size:
            continue
        if damage:
            others[name] = damage(tensors[name])
        write((header, others), tmp_path / "damaged.trace")
        number = name.split("/")[1]
        place = rf"damaged\.trace: pellucid\.trace: reading {number}, '\w+': "
        with pytest.raises(FormatError, match=place):
            open_trace(tmp_path / "damaged.trace")


def test_a_map_of_other_tokens_than_the_text_is_refused(
    sound: Callable[[str], Damaged], tmp_path: Path
) -> None:
    header, tensors = sound("drawn")
    number = [reading["name"] for reading in header["readings"]].index("map")
    one = {"ids": [7], "neighbour_ids": [7], "owners": [4]}
    tensors |= {f"readings/{number}/{name}": np.array(value) for name, value in one.items()}
    points = np.zeros((1, 2), np.float32)
    tensors |= {f"readings/{number}/{name}": points for name in ("xy", "neighbour_xy")}
    with pytest.raises(FormatError, match=r"'map': ids is int64 \[1\], not int64"):
        open_trace(write((header, tensors), tmp_path / "damaged.trace"))


def test_values_that_are_no_numbers_are_refused_when_they_are_looked_at(
    sound: Callable[[str], Damaged], tmp_path: Path
) -> None:
    header, tensors = sound("drawn")
    tensors["values/layers.1.attn.q"][2, 3, 4] = np.nan
    look = open_trace(write((header, tensors), tmp_path / "damaged.trace"))
    look.attention(layers=0)
    with pytest.raises(FormatError, match=r"damaged\.trace: values/layers\.1\.attn\.q: holds what"):
        look.attention(layers=1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("kv_heads", 3), ("heads", 1 << 40), ("window", [0, 0]), ("attention_scale", 1e39)],
)
def test_a_model_that_there_cannot_be_is_refused(
    setting: str, value: Any, sound: Callable[[str], Damaged], tmp_path: Path
) -> None:
    header, tensors = sound("drawn")
    header["origin"]["config"][setting] = value
    with pytest.raises(FormatError, match=r"pellucid\.trace: a model"):
        open_trace(write((header, tensors), tmp_path / "damaged.trace"))


def test_an_answer_of_which_one_ledger_is_gone_is_not_explained(
    sound: Callable[[str], Damaged], tmp_path: Path
) -> None:
    header, tensors = sound("searched")
    header["generation"]["answers"][1]["ledgers"] = [None] * 4
    look = open_trace(write((header, tensors), tmp_path / "damaged.trace"))
    with pytest.raises(ParameterError, match="ledger: was not kept"):
        look.explain()
