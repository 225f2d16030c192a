"""The drawing of a tree: every node once, under its parent, with what became of it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pellucid.choose.tree import Tree
from pellucid.engine.generation import GeneratedToken
from pellucid.look.considered import considered
from pellucid.look.tree import TreeView
from pellucid.look.view import plain

from .ledgers import answer, chosen, name


def searched() -> Tree:
    """A search: t1 t3 was said; t2 was followed for a while."""
    tree = Tree()
    half = math.log(0.5)
    one = tree.grow(0, 1, half, half, "said")
    two = tree.grow(0, 2, half, half, "pruned")
    tree.grow(0, 6, -3.0, -3.0, "rejected")
    tree.grow(one, 3, half, 2 * half, "said")
    tree.grow(one, 4, -2.0, -2.0 + half, "finished")
    tree.grow(two, 5, -1.0, -1.0 + half, "forbidden")
    return tree


def view(tree: Tree | None = None, **of_view: Any) -> TreeView:
    of_search = answer(tree=tree or searched())
    return TreeView(considered(of_search), name, prompt=b"Once", **of_view)


def drawn(shown: TreeView) -> list[str]:
    """The lines below the headings, with one space for several."""
    return [" ".join(line.split()) for line in plain(shown.terminal(), 80).splitlines()[1:]]


def test_what_was_said_goes_straight_down_and_the_rest_branches_off() -> None:
    assert drawn(view()) == [
        "Once",
        "├─ ␣t2 50.00 % -0.693 pruned",
        "│ └─ ␣t5 36.79 % -1.693 forbidden",
        "├─ ␣t6 4.98 % -3.000 rejected by the verifier",
        "● ␣t1 50.00 % -0.693 said",
        "├─ ␣t4 13.53 % -2.693 finished",
        "● ␣t3 50.00 % -1.386 said",
        "",
        "6 tokens were considered: 2 said, 1 pruned, 1 rejected, 1 finished, 1 forbidden.",
    ]


def test_width_and_depth_bound_the_drawing_and_say_what_they_leave_out() -> None:
    assert drawn(view(width=1, depth=1))[:4] == [
        "Once",
        "├─ … 2 more",
        "● ␣t1 50.00 % -0.693 said",
        "└─ … 2 deeper",
    ]


def test_a_side_branch_that_goes_on_goes_straight_on_too() -> None:
    tree = searched()
    six = tree.grow(6, 6, -0.1, -1.8)  # below t2 t5
    tree.grow(six, 0, -0.2, -2.0, "pruned")
    assert drawn(view(tree))[1:5] == [
        "├─ ␣t2 50.00 % -0.693 pruned",
        "│ ● ␣t5 36.79 % -1.693 forbidden",
        "│ ● ␣t6 90.48 % -1.800",
        "│ └─ ␣t0 81.87 % -2.000 pruned",
    ]


def test_the_html_has_the_nodes_of_the_terminal_in_the_same_order() -> None:
    shown = view()
    in_terminal = [line.split("t")[1][0] for line in drawn(shown) if "␣t" in line]
    in_html = [part[0] for part in shown.html().split("</i>t")[1:]]
    assert in_html == in_terminal == list("256143")


def test_the_html_folds_what_branches_off_under_its_node(page: Any) -> None:
    shown = view().html()
    page(shown)
    assert shown.count("<details") == 3  # the prompt, t2, t1
    inside_two = shown.split(">t2<")[1].split("</details>")[0]
    assert ">t5<" in inside_two
    assert ">t6<" not in inside_two


def test_the_json_has_all_nodes_by_their_parents() -> None:
    shown = json.loads(json.dumps(view(width=1, depth=1).to_dict()))["nodes"]
    assert [node["parent"] for node in shown] == [None, 0, 0, 0, 1, 1, 2]
    assert [node["id"] for node in shown] == [None, 1, 2, 6, 3, 4, 5]
    assert shown[0]["text"] == "Once"
    assert shown[6] == {
        "parent": 2, "id": 5, "text": " t5", "logprob": -1.0,
        "processed_logprob": None, "score": pytest.approx(-1.693, abs=1e-3),
        "fate": "forbidden", "removed_by": None,
    }  # fmt: skip


def headings(shown: TreeView) -> str:
    return " ".join(plain(shown.terminal(), 80).splitlines()[0].split())


def test_each_column_says_whose_its_numbers_are() -> None:
    def of(*tokens: GeneratedToken) -> TreeView:
        return TreeView(considered(answer(*tokens)), name)

    assert headings(view()) == "token probability score"
    assert headings(of(chosen())) == "token probability"
    assert headings(of(chosen(uniform=0.9, top_k=3))) == "token model's own after filters"


# ---- without a search --------------------------------------------------------------------------


def test_beside_each_chosen_token_are_the_candidates_and_the_filters_that_removed_them() -> None:
    tokens = chosen(uniform=0.9, top_k=3), chosen(token=5)
    lines = drawn(TreeView(considered(answer(*tokens)), name, prompt=b"Once", width=4))
    assert lines == [
        "Once",
        "├─ ␣t1 50.00 % 62.50 %",
        "├─ ␣t2 20.00 % 25.00 %",
        "├─ ␣t4 8.00 % removed by top_k",
        "├─ … 3 more",
        "● ␣t3 10.00 % 12.50 % said",
        "├─ ␣t1 50.00 % 50.00 %",
        "├─ ␣t2 20.00 % 20.00 %",
        "├─ ␣t3 10.00 % 10.00 %",
        "├─ … 3 more",
        "● ␣t5 6.00 % 6.00 % said",
        "",
        "14 tokens were considered: 2 said, 8 not taken, 4 removed.",
    ]


def test_several_answers_share_their_common_start() -> None:
    first, other = chosen(), chosen(token=2)
    nodes = considered(answer(first, first, alternatives=(answer(first, other),)))
    said = [(node.parent, node.token) for node in nodes if node.fate == "said"]
    assert said == [(0, 1), (1, 1), (1, 2)]
    assert len(nodes) == 1 + 7 + 7


def test_a_token_that_only_another_answers_ledger_has_is_there_too() -> None:
    nodes = considered(answer(chosen(size=2), alternatives=(answer(chosen(token=6, size=2)),)))
    assert [(node.token, node.fate) for node in nodes[1:]] == [
        (1, "said"), (2, "not taken"), (6, "said"),
    ]  # fmt: skip


def test_a_token_that_another_answers_filters_removed_has_the_probability_it_was_said_with() -> (
    None
):
    removed, said = chosen(top_k=1), chosen(token=2)
    node = considered(answer(removed, alternatives=(answer(said),)))[2]
    assert (node.token, node.fate, node.removed_by) == (2, "said", None)
    assert node.processed_logprob == pytest.approx(math.log(0.2))


def test_every_candidate_of_a_node_is_there_once() -> None:
    nodes = considered(answer(*[chosen(uniform=0.5, top_k=2)] * 3))
    places = [(node.parent, node.token) for node in nodes]
    assert len(set(places)) == len(places) == 1 + 3 * 7


def test_a_hostile_prompt_and_vocabulary_are_shown_and_not_obeyed(
    page: Any, hostile: Any, is_harmless: Any
) -> None:
    pieces = list(hostile)
    probs = [1 / len(pieces)] * len(pieces)
    nodes = considered(answer(chosen(probs=probs)))
    shown = TreeView(nodes, pieces.__getitem__, prompt=b"\x1b[2J<script>", width=len(pieces))
    page(shown.html())
    assert is_harmless(str(shown) + shown.html())
    assert all(piece in str(shown) for piece in hostile.values() if len(piece) < 60)
