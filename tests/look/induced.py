"""A look of the model that was built by hand, whose every explanation is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pellucid.lm import load
from pellucid.look.looking import Look

from ..trace import induction


@pytest.fixture(scope="module")
def induced(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Of the text that ends where the first token but one is to be said again."""
    folder = induction.write_model(tmp_path_factory.mktemp("induction"))
    return load(folder, backend="reference").look(induction.TEXT)


def renamed(look: Look, hostile: Mapping[bytes, str]) -> Look:
    """The same run in the words of a hostile vocabulary, without its model."""
    pieces = [*hostile, *(b"x%d" % i for i in range(len(look.trace.words)))]
    words = dict(zip(look.trace.words, pieces, strict=False))
    return Look(replace(look.trace, words=words))
