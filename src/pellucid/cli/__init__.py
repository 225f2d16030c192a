"""The command line: `pellucid COMMAND`. Commands are thin, and loaded only when called."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from pellucid import __version__
from pellucid.cli.wording import as_typed
from pellucid.errors import ParameterError, PellucidError

# name -> where its click command is, and its line in `pellucid --help`: help loads no command.
COMMANDS = {
    "demo": ("pellucid.cli.demo:demo", "Take one text all the way, from its tokens to more text."),
    "tokens": ("pellucid.cli.text:tokens", "Show how a text is cut into tokens, and how."),
    "next": ("pellucid.cli.text:next_", "Show the likeliest next tokens after a text."),
    "generate": ("pellucid.cli.generate:generate", "Continue a text."),
    "explain": ("pellucid.cli.explain:explain", "Continue a text, and say of each token why."),
    "tree": ("pellucid.cli.explain:tree", "Continue a text, and draw what was considered."),
    "step": ("pellucid.cli.step:step", "Continue a text by hand, token by token."),
    "look": ("pellucid.cli.look:look", "Read a text, and show what happens inside the model."),
    "trace": ("pellucid.cli.look:trace", "Read or continue a text, and write down all of it."),
    "replay": ("pellucid.cli.look:replay", "Make the run of a trace again; compare every bit."),
    "compare": ("pellucid.cli.look:compare", "Compare the runs of two traces, token by token."),
    "chat": ("pellucid.cli.chat:chat", "Talk with a model, in its own chat template."),
    "score": ("pellucid.cli.text:score", "Show how likely a text is, token by token."),
    "plan": ("pellucid.cli.plan:plan", "Show each operation of a pass, and the time it takes."),
    "pull": ("pellucid.cli.models:pull", "Fetch a model."),
    "ls": ("pellucid.cli.models:ls", "List the models on this machine."),
    "show": ("pellucid.cli.show:show", "Show what a model is, or what a trace holds."),
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
            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "see `pellucid --help`"
            raise click.UsageError(f"no such command: {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ParameterError as error:
            raise click.UsageError(self._in_options(ctx, error)) from error

    def _in_options(self, ctx: click.Context, error: ParameterError) -> str:
        """A message about parameters in the words of the command that was called."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        params = command.params if command else []
        options = [p.name for p in params if isinstance(p, click.Option) and p.name]
        return as_typed(str(error), options)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command takes --help and --json. The default model, of 98 MB, is fetched once.",
)
@click.version_option(__version__, "-V", "--version", message="pellucid %(version)s")
def cli() -> None:
    """Run an open language model, and see every step from text to text."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 success, 1 failure, 2 usage, 130 after Ctrl-C, 141 when the reader of a pipe went away.
    """
    _prepare_streams()
    if arguments is None:
        _prepare_process()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(given or ["--help"], prog_name="pellucid", standalone_mode=False)
        sys.stdout.flush()
    except PellucidError as error:
        return _fail(str(error), error.exit_code)
    except click.UsageError as error:
        return _fail(_usage(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        if KeyboardInterrupt in (type(error), type(error.__context__)):
            return _fail("interrupted", 130)
        return _fail("nothing done", 1)  # a question was answered with no
    except (BrokenPipeError, SystemExit) as error:
        _abandon_stdout()
        # Click and rich exit with 1 where they meet a closed pipe; completion exits with 0.
        return 0 if isinstance(error, SystemExit) and not error.code else 141
    except OSError as error:
        _abandon_stdout()
        return _fail(str(error), 1)
    except MemoryError as error:
        return _fail(f"not enough memory: {error}".removesuffix(": "), 1)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    from pellucid.look.visible import harmless  # only what went wrong needs it

    click.echo(f"pellucid: {harmless(message)}", err=True)
    return code


def _usage(error: click.UsageError) -> str:
    """What click says about a command line, as one line in our manner."""
    message = error.format_message().rstrip(".")
    hint = f"; see `{error.ctx.command_path} --help`" if error.ctx else ""
    if message[:2].istitle():
        message = message[0].lower() + message[1:]
    if isinstance(error, click.NoSuchOption):
        message = f"no such option: {error.option_name}"
        near = get_close_matches(error.option_name, error.possibilities or (), 1)
        if near:
            hint = f"; did you mean {near[0]}?"
        elif not error.option_name.startswith("--"):
            hint = f"; a text that begins with - goes after --{hint}"
    return message + hint


def _abandon_stdout() -> None:
    """Python flushes stdout once more at exit, and must find somewhere to write."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_process() -> None:
    """Of a process that is ours, and that people wait for."""
    # Modules and vocabularies are no garbage: to look for some in them ever again takes 40 ms.
    gc.set_threshold(100_000)
    # NumPy's threads, once awake, keep a core busy for 50 ms each time they have no work.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "10")


def _prepare_streams() -> None:
    """Make the three streams speak UTF-8: a Windows console, or LANG=C, would refuse most of the
    world's text. One that was closed becomes one that leads nowhere.
    """
    for name, mode, errors in (
        ("stdin", "r", "surrogateescape"),
        ("stdout", "w", "backslashreplace"),
        ("stderr", "w", "backslashreplace"),
    ):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors=errors)
