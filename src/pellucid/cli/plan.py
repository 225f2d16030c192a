"""`pellucid plan`: what a pass through a model does, and what that takes."""

from __future__ import annotations

import click

from pellucid.cli.options import about_a_model, json_option, show


@click.command()
@about_a_model("smollm2")
@click.option(
    "--context", default=32, show_default=True, metavar="N", help="Tokens that were seen before."
)
@click.option(
    "--rows",
    default=1,
    show_default=True,
    metavar="N",
    help="Tokens in the pass: 1 as in generating, up to 256 as in reading a prompt.",
)
@click.option("--threads", type=int, metavar="N", help="Processors to use; all unless given.")
@click.option("--sum", "summed", is_flag=True, help="Only the sums by kind.")
@json_option
def plan(
    reference: str, context: int, rows: int, threads: int | None, summed: bool, as_json: bool
) -> None:
    """Show each operation of a pass: its bytes, arithmetic and measured time.

    Below them stand their sums by kind, and how near the pass comes to what this machine's memory
    allows. "waited" is how much of a time a thread, on the mean, had nothing to do.
    """
    from pellucid.backends.measure import measure
    from pellucid.backends.native import Native
    from pellucid.look.plan import PlanView
    from pellucid.model.model import Model
    from pellucid.weights.checkpoint import open_checkpoint
    from pellucid.weights.references import resolve

    model = Model.open(open_checkpoint(resolve(reference)), Native(threads))
    show(PlanView(measure(model, context=context, rows=rows), summed=summed), as_json)
