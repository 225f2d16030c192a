"""pellucid plan: the operations of a pass, in a table or in JSON."""

import json
import re

import pytest

from pellucid.cli import main


def test_the_sums_and_the_memory_limit_are_shown(smollm2, capsys):
    assert main(["plan", str(smollm2), "--sum", "--context", "8"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^ +30  attend ", shown, re.MULTILINE)
    assert "of this machine's" in shown


def test_the_json_has_every_operation(smollm2, capsys):
    assert main(["plan", str(smollm2), "--rows", "3", "--threads", "1", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    # Thirty layers of seven matrices, and the output.
    assert sum(o["kind"] == "linear" for o in data["operations"]) == 211
    assert (data["rows"], data["context"], data["threads"]) == (3, 32, 1)


@pytest.mark.parametrize("wrong", [["--rows", "0"], ["--context", "9000"], ["--rows", "x"]])
def test_what_has_no_room_is_a_usage_error(smollm2, capsys, wrong):
    assert main(["plan", str(smollm2), *wrong]) == 2
    assert capsys.readouterr().out == ""
