# ruff: noqa: PLC0415  (anywidget is an extra, and takes 0.3 s to load)
"""A figure in a notebook, by anywidget (the extra `notebook`)."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pellucid.look.figure import Figure, Packed, script

if TYPE_CHECKING:
    from anywidget import AnyWidget


def installed() -> bool:
    """Whether figures can be shown: anywidget is there."""
    return find_spec("anywidget") is not None


def widget(figure: Figure) -> AnyWidget:
    """A live widget of the figure; its arrays travel as binary buffers beside the JSON.

    Raises ImportError without anywidget.
    """
    packed = Packed([figure])
    buffers = [array.tobytes() for array in packed.arrays]
    return _kind()(figure=packed.figures[0], buffers=buffers)


def bundle(figure: Figure) -> dict[str, Any]:
    """What a notebook shows the widget by: its reference, by MIME type. Raises as `widget`."""
    shown = widget(figure)._repr_mimebundle_()
    return dict(shown[0]) if shown else {}


@cache
def _kind() -> type[AnyWidget]:
    import traitlets
    from anywidget import AnyWidget

    class FigureWidget(AnyWidget):
        _esm = script()
        figure: Any = traitlets.Dict().tag(sync=True)
        buffers: Any = traitlets.List().tag(sync=True)

    return FigureWidget
