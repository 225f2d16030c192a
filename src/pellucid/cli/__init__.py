"""The command line: `pellucid COMMAND`. Commands are thin, and loaded only when called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from pellucid import __version__
from pellucid.errors import PellucidError

# name -> where its click command is, and its line in `pellucid --help`: help loads no command.
COMMANDS = {
    "demo": ("pellucid.cli.demo:demo", "Take one text all the way, from its tokens to more text."),
    "tokens": ("pellucid.cli.text:tokens", "Show how a text is cut into tokens, and how."),
    "next": ("pellucid.cli.text:next_", "Show the likeliest next tokens after a text."),
    "generate": ("pellucid.cli.generate:generate", "Continue a text."),
    "chat": ("pellucid.cli.chat:chat", "Talk with a model, in its own chat template."),
    "score": ("pellucid.cli.text:score", "Show how likely a text is, token by token."),
    "pull": ("pellucid.cli.models:pull", "Fetch a model."),
    "ls": ("pellucid.cli.models:ls", "List the models on this machine."),
    "show": ("pellucid.cli.models:show", "Show what a model is: family, size, tensors, licence."),
    "rm": ("pellucid.cli.models:rm", "Remove a model from this machine."),
    "env": ("pellucid.cli.models:env", "Show what would help a bug report."),
}  # fmt: skip


class Commands(click.Group):
    """A group that imports a command when it is called, not when its name is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "see `pellucid --help`"
            ctx.fail(f"no such command: {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command takes --help and --json. The default model is fetched once (98 MB).",
)
@click.version_option(__version__, "-V", "--version", message="pellucid %(version)s")
def cli() -> None:
    """Run an open language model, and see every step from text to text."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 success, 1 failure, 2 usage, 130 after Ctrl-C, 141 when the reader of a pipe went away.
    """
    _speak_utf8()
    try:
        code = cli.main(arguments, prog_name="pellucid", standalone_mode=False)
        sys.stdout.flush()
    except PellucidError as error:
        return _fail(str(error), error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return _quiet()
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    click.echo(f"pellucid: {message}", err=True)
    return code


def _quiet() -> int:
    # Python flushes stdout once more at exit, and must find somewhere to write.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _speak_utf8() -> None:
    # A Windows console, or LANG=C, would refuse most of the world's text.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
