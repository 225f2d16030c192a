"""A watermark's settings: transformers' WatermarkingConfig, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pellucid.choose.parameters.values import Choice, Integer, Kind, Number, shown
from pellucid.errors import ParameterError

_WIDEST = 4096


@dataclass(frozen=True)
class Watermark:
    """The share of green tokens, how much they are favoured, and what decides which are green.

    `seeding_scheme` "lefthash" decides by the last token, "selfhash" by the token itself and the
    `context_width` before the next one. Whoever knows the `hashing_key` can find the watermark.
    """

    greenlist_ratio: float = 0.25
    bias: float = 2.0
    hashing_key: int = 15_485_863  # the millionth prime
    seeding_scheme: str = "lefthash"
    context_width: int = 1


_KINDS: dict[str, Kind] = {
    "greenlist_ratio": Number(0, 0.999, above=True),
    "bias": Number(-100, 100),
    "hashing_key": Integer(0, 2**63 - 1),
    "seeding_scheme": Choice(("lefthash", "selfhash")),
    "context_width": Integer(1, _WIDEST),
}


@dataclass(frozen=True)
class Watermarking:
    """A watermark: its settings by name, those that are left out as transformers has them."""

    def __str__(self) -> str:
        return f"settings of a watermark: {', '.join(_KINDS)}"

    def check(self, name: str, value: Any) -> Watermark:
        """The settings, or ParameterError."""
        if isinstance(value, Watermark):
            value = asdict(value)
        if not isinstance(value, Mapping):
            raise ParameterError(name, f"must be settings by name, not {shown(value)}")
        known = [f.name for f in fields(Watermark)]
        for setting in value:
            if setting not in known:
                reason = f"{shown(setting)} is no setting; known are {', '.join(known)}"
                raise ParameterError(name, reason)
        checked = {s: _KINDS[s].check(f"{name}: {s}", v) for s, v in value.items()}
        return Watermark(**checked)
