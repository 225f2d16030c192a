"""Writes tests/choose/golden/llamacpp.json: what llama.cpp's samplers leave of some logits.

    python -m tests.choose.filters.make_llamacpp SMOLLM2_GGUF

needs llama-cpp-python and takes seconds. The logits themselves are made again by
`llamacpp_cases.py`. `words` are the tokens of the cases that have a vocabulary, in hexadecimal.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

from .llamacpp import Vocabulary, theirs
from .llamacpp_cases import cases

GOLDEN = Path(__file__).parent.parent / "golden" / "llamacpp.json"


def main(model: str) -> None:
    """Ask llama.cpp, and write down what it says, a case a line."""
    vocabulary = Vocabulary(Path(model))
    asked = list(cases())
    spoken = sorted({token for case in asked if case.words for token in case.history})
    words = {str(token): vocabulary.token_bytes(token).hex() for token in spoken}
    lines = [
        f"{json.dumps(case.name)}: {json.dumps(theirs(case, vocabulary if case.words else None))}"
        for case in asked
    ]
    head = json.dumps({"llama-cpp-python": version("llama-cpp-python"), "words": words})
    GOLDEN.write_text(f'{head[:-1]},\n"cases": {{\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
