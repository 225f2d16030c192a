"""A page of all attention: ours is drawn, and a peer that is not there is told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import pages
from bench.files import ModelFile


def test_our_page_is_timed_and_weighed(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "text_ids", lambda file, length: list(range(3, 3 + length)))
    file = ModelFile("own", own=smollm2)
    taken, size = pages.page(file, threads=1, repeats=5, tokens=24)
    assert (taken.unit, size.unit) == ("s", "MB")
    assert len(taken.values["pellucid"]) == len(size.values["pellucid"]) == 2
    assert 0.2 < size.values["pellucid"][0] < 5
    assert list(taken.skipped) == ["transformers float32 and bertviz"]


def test_a_peer_that_fails_is_told_and_the_others_go_on(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError("no such\nfolder")

    monkeypatch.setattr(pages, "text_ids", lambda file, length: list(range(3, 3 + length)))
    monkeypatch.setattr(pages, "_bertviz", fail)
    taken, _ = pages.page(ModelFile("own", own=smollm2), threads=1, repeats=1, tokens=8)
    assert taken.skipped == {"transformers float32 and bertviz": "failed: OSError: no such"}
    assert taken.values["pellucid"]
