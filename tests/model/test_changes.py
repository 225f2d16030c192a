"""Ready-made changes do as NumPy does, and can be written down and made again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pellucid.errors import ParameterError
from pellucid.model import changes
from pellucid.model.changes import ReadyMade
from pellucid.model.probe import Edit

ROWS = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)
VECTOR = np.array([1, -2, 0.3, 4], np.float32)
AT = np.array([2, 3, 4, 5, 9])
OTHER = np.arange(12, dtype=np.float32).reshape(3, 4)


def patched(rows: Any, by_position: dict[int, Any]) -> Any:
    return np.array([by_position.get(at, row) for at, row in zip(AT, rows, strict=True)])


CASES: list[tuple[ReadyMade, Any]] = [
    (changes.zero, np.zeros_like(ROWS)),
    (changes.scale(-0.25), ROWS * -0.25),
    (changes.add(VECTOR), ROWS + VECTOR),
    (changes.add(VECTOR, 0.1), ROWS + VECTOR * np.float32(0.1)),
    (changes.add(2), ROWS + 2),
    (changes.clamp(-0.5, 0.5), np.clip(ROWS, -0.5, 0.5)),
    (changes.clamp(low=0), np.maximum(ROWS, 0)),
    (changes.clamp(high=0), np.minimum(ROWS, 0)),
    (changes.replace(8), np.full_like(ROWS, 8)),
    (changes.replace(VECTOR), np.tile(VECTOR, (5, 1))),
    (changes.mean(OTHER), np.tile(OTHER.mean(0), (5, 1))),
    (changes.patch(OTHER), patched(ROWS, {2: OTHER[2]})),
    (changes.patch(OTHER, at=[9, 4, 3]), patched(ROWS, {9: OTHER[0], 4: OTHER[1], 3: OTHER[2]})),
    (changes.patch(OTHER, at=slice(4, None)), patched(ROWS, {4: OTHER[0], 5: OTHER[1]})),
    (changes.patch(OTHER[:1], at=5), patched(ROWS, {5: OTHER[0]})),
]  # fmt: skip


@pytest.mark.parametrize(("change", "truth"), CASES, ids=[str(change) for change, _ in CASES])
def test_a_change_does_as_numpy_does(change: ReadyMade, truth: Any) -> None:
    before = ROWS.copy()
    made = change(before, AT)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, truth.astype(np.float32))
    np.testing.assert_array_equal(before, ROWS)


@pytest.mark.parametrize("change", [change for change, _ in CASES], ids=str)
def test_a_change_that_went_through_json_does_the_same_to_the_bit(change: ReadyMade) -> None:
    told = json.loads(json.dumps(change.to_dict(), allow_nan=False))
    again = changes.from_dict(told)
    assert again.to_dict() == change.to_dict()
    np.testing.assert_array_equal(again(ROWS, AT), change(ROWS, AT))


@pytest.mark.parametrize("text", [
    "zero", "scale:0.5", "clamp:-1,1", "clamp:0,", "clamp:,1", "replace:8", "add:2,1", "add:2,0.5",
])  # fmt: skip
def test_a_change_is_read_as_it_is_shown(text: str) -> None:
    assert str(changes.read(text)) == text


def test_what_a_change_was_given_may_change_afterwards() -> None:
    given = VECTOR.copy()
    change = changes.add(given)
    given[:] = 0
    np.testing.assert_array_equal(change(ROWS, AT), ROWS + VECTOR)


@pytest.mark.parametrize(("made", "words"), [
    (lambda: changes.scale("2"), "factor must be numbers, not '2'"),
    (lambda: changes.scale(True), "factor must be numbers, not True"),
    (lambda: changes.scale([1, 2]), r"factor must be a number, not \[1, 2\]"),
    (lambda: changes.scale(float("nan")), "factor must be finite"),
    (lambda: changes.scale(1e39), "factor must be finite numbers, as float32 has them"),
    (lambda: changes.add([1, np.inf]), "vector must be finite"),
    (lambda: changes.add([[1], [2, 3]]), "vector must be numbers"),
    (changes.clamp, "clamp needs low or high"),
    (lambda: changes.clamp(2, 1), "clamp has low 2 above high 1"),
    (lambda: changes.mean(3), "rows must be rows"),
    (lambda: changes.patch([]), "values must be rows"),
    (lambda: changes.patch(OTHER, at=[1, 2]), "patch has 3 rows of values, and other positions"),
    (lambda: changes.patch(OTHER, at=[1, 2, 2]), "patch has 3 rows of values, and other positions"),
    (lambda: changes.patch(OTHER, at=range(10**15)), "patch has 3 rows"),
    (lambda: changes.read("ablate"), "'ablate' is no change; there are zero, scale, add, clamp"),
    (lambda: changes.read("scale"), "scale takes factor: missing a required argument"),
    (lambda: changes.read("zero:1"), "zero takes nothing: too many"),
    (lambda: changes.read("scale:x"), "needs numbers behind 'scale', not 'x'"),
    (lambda: changes.from_dict({"name": "scale", "vector": 2}), "scale takes factor"),
    (lambda: changes.from_dict({"name": ["scale"]}), "is no change"),
    (lambda: changes.from_dict({}), "None is no change"),
])  # fmt: skip
def test_what_makes_no_change_is_refused(made: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=f"^edit: .*{words}"):
        made()


@pytest.mark.parametrize(("change", "shape", "fits"), [
    (changes.add(VECTOR), (4,), True), (changes.add(VECTOR), (3, 4), True),
    (changes.add(VECTOR), (4, 3), False), (changes.add(VECTOR), (), False),
    (changes.replace(OTHER), (4,), False), (changes.patch(OTHER), (4,), True),
    (changes.patch(OTHER), (3, 4), False), (changes.patch(OTHER), (1,), False),
    (changes.patch(OTHER[:, 0]), (), True), (changes.scale(2), (9, 9), True),
])  # fmt: skip
def test_arrays_fit_a_row_or_are_refused(
    change: ReadyMade, shape: tuple[int, ...], fits: bool
) -> None:
    if fits:
        change.check("embed", shape)
        return
    with pytest.raises(ParameterError, match=r"^edit: \w+ has \w+ of shape .*, and a row of embed"):
        change.check("embed", shape)


@pytest.mark.parametrize("text", [
    "layers.5.heads.3=zero", "layers.*.resid@2:=scale:0.5", "layers.0.neurons.1[0-9]@1,7=replace:8",
])  # fmt: skip
def test_an_edit_is_read_as_it_is_shown_and_goes_through_json(text: str) -> None:
    edit = Edit.read(text)
    assert str(edit) == text
    assert str(Edit.from_dict(json.loads(json.dumps(edit.to_dict())))) == text


def test_of_a_function_an_edit_tells_the_name_which_makes_no_edit() -> None:
    def halved(rows: Any, positions: Any) -> Any:
        return rows / 2

    told = Edit("layers.1.resid", halved, 3).to_dict()
    assert told == {"site": "layers.1.resid", "change": "halved", "positions": "3"}
    with pytest.raises(ParameterError, match=r"was changed by the function 'halved', which is not"):
        Edit.from_dict(told)


@pytest.mark.parametrize(
    "told", [{}, {"site": 3, "change": {"name": "zero"}}, {"site": "embed"}, "layers.1", None]
)
def test_what_tells_of_no_edit_is_refused(told: Any) -> None:
    with pytest.raises(ParameterError, match=r"^edit: .* has no site and change"):
        Edit.from_dict(told)


@pytest.mark.parametrize(("site", "change"), [(3, changes.zero), ("embed", 0.5), ("embed", None)])
def test_an_edit_needs_a_site_and_something_that_can_be_called(site: Any, change: Any) -> None:
    with pytest.raises(ParameterError, match=r"^edit: "):
        Edit(site, change)


@pytest.mark.parametrize("name", ["scale", "add", "clamp", "replace", "mean", "patch"])
def test_a_change_that_lacks_its_arguments_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match=rf"^edit: {name} needs its arguments"):
        Edit("embed", getattr(changes, name))
