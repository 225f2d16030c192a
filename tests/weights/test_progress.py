"""What a person hears while a model is fetched."""

import io
import sys

import pytest

from pellucid.weights.progress import Bars, Lines, heard


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_there_is_one_line_for_each_thing(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with heard(None) as progress:
        assert isinstance(progress, Lines)
        for done in (0, 40_000_000, 93_000_000):
            progress.update("smollm2", done, 93_000_000)
        progress.update("other", 1, None)
        progress.note("licence: odd")
    assert stream.getvalue() == "fetching smollm2 (93 MB) ...\nfetching other ...\nlicence: odd\n"


def test_in_a_terminal_a_bar_is_drawn_on_standard_error_only(monkeypatch, capsys):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with heard(None) as progress:
        assert isinstance(progress, Bars)
        progress.note("licence: [odd]")
        progress.update("smollm2 [x]", 93_000_000, 93_000_000)
    assert "licence: [odd]" in stream.getvalue()
    assert "smollm2 [x]" in stream.getvalue()
    assert "93.0/93.0 MB" in stream.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_when_nothing_is_fetched_nothing_is_said(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with heard(None):
        pass
    assert stream.getvalue() == ""


def test_a_callers_own_progress_is_used_as_it_is():
    own = Lines(io.StringIO())
    with heard(own) as progress:
        assert progress is own
