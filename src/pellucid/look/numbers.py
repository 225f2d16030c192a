"""How views write numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable


def percent(share: float) -> str:
    """A probability.

    >>> percent(0.12345), percent(3e-6), percent(0.0), percent(1.0)
    ('12.35 %', '< 0.01 %', '0.00 %', '100.00 %')
    """
    return "< 0.01 %" if 0 < share < 0.00005 else f"{100 * share:.2f} %"


def rest(shares: Iterable[float]) -> float:
    """What is left beside these shares. Below a millionth that is rounding: sums are of float32.

    >>> rest([0.5, 0.25]), rest([0.5, 0.4999999])
    (0.25, 0.0)
    """
    left = 1 - math.fsum(shares)
    return left if left > 1e-6 else 0.0


def clamped(share: float) -> float:
    """Between 0 and 1, as a bar must be; 0 for what is no number.

    >>> clamped(1.2), clamped(float("nan"))
    (1.0, 0.0)
    """
    return min(max(share, 0.0), 1.0) if share == share else 0.0  # noqa: PLR0124


def finite(value: float | None) -> float | None:
    """The value, or None where it is not finite: JSON has no infinity.

    >>> finite(1.5), finite(float("-inf")), finite(None)
    (1.5, None, None)
    """
    return value if value is not None and math.isfinite(value) else None


def left_out(count: int, what: str = "tokens") -> str:
    """What is said below a table that was cut.

    >>> left_out(1234)
    '… and 1,234 more tokens; all are in to_dict() and --json'
    """
    return f"… and {count:,} more {what}; all are in to_dict() and --json"
