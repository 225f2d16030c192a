"""The view of a plan sums by kind, shows shares, and compares the pass with the memory limit."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pellucid.backends.measure import MeasuredPlan, Operation
from pellucid.look.plan import PlanView
from pellucid.look.view import plain

STEPS = (
    Operation("embed", "64", 256, 0, 0.0, 0.0),
    Operation("linear", "64 -> 96", 6000, 12000, 0.003, 0.001),
    Operation("norm", "64", 0, 256, 0.001, 0.0),
    Operation("linear", "64 -> 96", 6000, 12000, 0.002, 0.0),
    Operation("linear", "96 -> 64", 7744, 12000, 0.004, 0.0),
)
PLAN = MeasuredPlan(STEPS, 1, 32, 2, "avx2", 0.02, 2e6)


def test_operations_are_summed_by_kind_and_linear_ones_by_shape_the_longest_first() -> None:
    found = [(r.count, r.kind, r.shape, r.bytes, r.arithmetic) for r in PlanView(PLAN).sums()]
    assert found == [
        (2, "linear", "64 -> 96", 12000, 24000),
        (1, "linear", "96 -> 64", 7744, 12000),
        (1, "norm", "64", 0, 256),
        (1, "embed", "64", 256, 0),
    ]


def test_shares_are_of_the_time_in_the_plan() -> None:
    assert [row.share for row in PlanView(PLAN).rows()] == pytest.approx([0, 0.3, 0.1, 0.2, 0.4])


def test_the_json_is_the_contract() -> None:
    data = json.loads(json.dumps(PlanView(PLAN).to_dict()))
    assert {name: data[name] for name in ("rows", "context", "threads", "isa", "bytes")} == {
        "rows": 1, "context": 32, "threads": 2, "isa": "avx2", "bytes": 20000,
    }  # fmt: skip
    assert data["pass_ms"] == pytest.approx(20)
    assert data["memory_share"] == pytest.approx(20000 / 0.02 / 2e6)
    assert data["operations"][1] == {
        "kind": "linear", "shape": "64 -> 96", "bytes": 6000, "arithmetic": 12000,
        "ms": pytest.approx(3), "waited_ms": pytest.approx(1), "share": pytest.approx(0.3),
    }  # fmt: skip
    assert [row["count"] for row in data["sums"]] == [2, 1, 1, 1]


def test_the_terminal_shows_operations_sums_and_the_limit() -> None:
    lines = plain(PlanView(PLAN).terminal(), 80).splitlines()
    assert lines[0].split() == [
        *("no", "kind", "shape", "bytes", "arith.", "ms", "waited", "share"),
    ]
    assert re.match(r" +2 +linear +64 -> 96 +6.0K +12.0K +3.000 +1.000 +30.00 %  █", lines[2])
    assert lines[7].split()[0] == "count"
    assert re.match(r" +2 +linear +64 -> 96 +12.0K +24.0K +5.000 ", lines[8])
    assert lines[-1] == "It reads 20.0K bytes, 0.0 GB/s: 50.00 % of this machine's 0.0 GB/s."


def test_a_sum_leaves_the_operations_out() -> None:
    whole, summed = str(PlanView(PLAN)), str(PlanView(PLAN, summed=True))
    assert summed in whole
    assert summed.count("kind") == 1


def test_the_html_says_the_same(page: Any) -> None:
    read = page(PlanView(PLAN).html())
    operations, sums = read.tables
    assert len(operations) == 1 + len(STEPS)
    cells = ["2", "linear", "64 -> 96", "12.0K", "24.0K", "5.000", "1.000", "50.00 %"]
    assert sums[1][:8] == cells
    assert "50.00 % of this machine's" in read.paragraphs[-1]


def test_many_operations_are_cut_in_html_alone(page: Any) -> None:
    plan = MeasuredPlan(STEPS * 200, 1, 32, 2, "avx2", 0.02, 2e6)
    assert "… and 500 more operations" in page(PlanView(plan).html()).paragraphs[0]
    assert len(PlanView(plan).to_dict()["operations"]) == 1000


def test_a_plan_that_took_no_time_is_shown() -> None:
    plan = MeasuredPlan((Operation("take", "64", 0, 0, 0.0, 0.0),), 1, 0, 1, "portable", 1e-6, 1e9)
    assert "0.00 %" in str(PlanView(plan))
