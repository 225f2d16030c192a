"""Real text to measure with: the opening of Jane Austen's Pride and Prejudice, 1813."""

from __future__ import annotations

from bench.files import ModelFile
from pellucid.tokens.load import load_tokenizer
from pellucid.weights.checkpoint import open_checkpoint

TEXT = """\
It is a truth universally acknowledged, that a single man in possession of a good fortune, must be
in want of a wife. However little known the feelings or views of such a man may be on his first
entering a neighbourhood, this truth is so well fixed in the minds of the surrounding families,
that he is considered as the rightful property of some one or other of their daughters.

"My dear Mr. Bennet," said his lady to him one day, "have you heard that Netherfield Park is let at
last?" Mr. Bennet replied that he had not. "But it is," returned she; "for Mrs. Long has just been
here, and she told me all about it." Mr. Bennet made no answer. "Do not you want to know who has
taken it?" cried his wife impatiently. "You want to tell me, and I have no objection to hearing
it." This was invitation enough.

"Why, my dear, you must know, Mrs. Long says that Netherfield is taken by a young man of large
fortune from the north of England; that he came down on Monday in a chaise and four to see the
place, and was so much delighted with it that he agreed with Mr. Morris immediately; that he is to
take possession before Michaelmas, and some of his servants are to be in the house by the end of
next week."
"""


def ids(file: ModelFile, length: int) -> list[int]:
    """Token ids of the text, over and over, as many as are asked for."""
    tokenizer = load_tokenizer(open_checkpoint(file.path()))
    once = tokenizer.encode(TEXT.replace("\n\n", "\0").replace("\n", " ").replace("\0", "\n\n"))
    return (once * (length // len(once) + 1))[:length]
