"""Contestants take turns; their values are told with spread, and compared turn by turn."""

import numpy as np
import pytest
import torch

from bench.measure import Result, Spread, divergence, in_turns


def test_contestants_take_turns():
    order = []

    def running(name):
        def run():
            order.append(name)
            return len(order)

        return run

    values, failed = in_turns({name: running(name) for name in "abc"}, repeats=3, settle=0)
    assert "".join(order) == "abcabcabc"
    assert values == {"a": [1, 4, 7], "b": [2, 5, 8], "c": [3, 6, 9]}
    assert failed == {}


def test_one_that_fails_later_drops_out_with_its_reason_and_the_others_go_on():
    left = iter([1.0])
    values, failed = in_turns({"a": lambda: 2.0, "b": lambda: next(left)}, repeats=3, settle=0)
    assert values == {"a": [2.0, 2.0, 2.0]}
    assert failed == {"b": "failed: StopIteration: "}


def test_ratios_are_of_values_of_the_same_turn():
    # The machine was half as fast in the second turn, for both: the ratio is the same.
    result = Result("f", "s", "tokens/s", True, {"pellucid": [30.0, 15.0], "peer": [10.0, 5.0]})
    assert result.ratio("peer") == Spread(3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"peer": [1.0]}, "without Pellucid"),
        ({"pellucid": [1.0]}, "without the other"),
        ({"pellucid": [1.0], "peer": [0.0]}, "a peer of speed 0"),
    ],
)
def test_there_is_no_ratio(values, why):
    assert Result("f", "s", "tokens/s", True, values).ratio("peer") is None, why


def test_where_less_is_better_a_ratio_above_one_is_still_in_our_favour():
    result = Result("f", "s", "s", False, {"pellucid": [0.5, 0.5], "peer": [2.0, 1.0]})
    assert result.ratio("peer") == Spread(3.0, 2.0, 4.0)


def test_the_divergence_is_that_of_torch():
    rng = np.random.default_rng(0)
    p, q = (rng.normal(scale=4, size=(5, 100)).astype(np.float32) for _ in range(2))
    logs = [torch.log_softmax(torch.tensor(x, dtype=torch.float64), -1) for x in (q, p)]
    truth = torch.nn.functional.kl_div(*logs, log_target=True, reduction="none").sum(-1)
    assert divergence(p, q) == pytest.approx(truth.numpy(), rel=1e-9)


def test_a_divergence_far_below_the_rounding_of_float32_is_seen():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 1000)).astype(np.float32)
    error = rng.normal(scale=1e-4, size=(1, 1000)).astype(np.float32)
    # To second order it is half the variance of the error under the distribution.
    weights = np.exp(logits[0].astype(np.float64))
    weights /= weights.sum()
    spread = (weights * error[0] ** 2).sum() - (weights * error[0]).sum() ** 2
    assert divergence(logits, logits + error)[0] == pytest.approx(spread / 2, rel=0.01)


def test_rows_of_logits_that_only_one_model_has_are_left_out():
    logits = np.zeros((2, 3), np.float32)
    assert divergence(logits, np.zeros((2, 5), np.float32)).tolist() == [0, 0]
