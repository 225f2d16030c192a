"""`pellucid step`: an answer by hand, token by token."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from pellucid.choose.parameters import PARAMETERS, parameters
from pellucid.choose.parameters.values import Flag, shown
from pellucid.cli.lines import piped, typed
from pellucid.cli.options import load, print_json, ready, running, show, text_argument
from pellucid.cli.sampling import Grouped, generation, sampling
from pellucid.cli.stream import remark, write_stream
from pellucid.errors import ParameterError, PellucidError

if TYPE_CHECKING:
    from pellucid.engine.prompt import Said
    from pellucid.look.walk import Walk

_HELP = """3                    pick the token with this number in the table
 river  "\\n"  #198   pick a token by its text, in quotes as in JSON, or by its id
Enter                draw the next token, or take the likeliest; so do run, sample, draw, next
run N, sample N      so many of them
back [N], b, undo    take back the last tokens
set temperature 0.7  change a parameter from here on; set alone shows them
unset temperature    take it back
branch [NAME], fork  go on in a copy; the other stays as it is
branches, go NAME    show all, and go on in another
why                  how the last token was chosen
text, ids, show      what is written so far, and what may come next
help, ?              this
quit, q, exit        leave; so does Ctrl-D
What begins with a space or a quote is always text: " back" and "back" pick these tokens."""

# Other words for the commands, as people bring them from elsewhere.
_ALIASES = {
    "sample": "run", "draw": "run", "next": "run", "b": "back", "undo": "back", "fork": "branch",
    "list": "show", "ls": "show", "?": "help", "q": "quit", "exit": "quit", "bye": "quit",
    ":q": "quit",
}  # fmt: skip
_RESEMBLES = {"clear": "back", "reset": "back", "restart": "back", "redo": "run", "print": "text"}


@click.command(cls=Grouped)
@text_argument
@sampling
@click.option("--top", default=10, show_default=True, metavar="N", help="How many tokens to list.")
@running
def step(text: Said, top: int, as_json: bool, **options: Any) -> None:
    """Continue TEXT by hand: see what may come next, pick a token or have one drawn, go back, try
    another way, change parameters in between.

    Commands are typed, or come from a pipe; `help` lists them. With --json, what each leads to is
    one line.
    """
    if options["draft"]:
        raise ParameterError("draft", "has no effect step by step")
    given = generation(options)
    walk = ready(load(options)).step(text, top=top, **given)
    session = Session(walk, as_json)
    session.attempt("show")
    if not sys.stdin.isatty():
        session.obey(piped())
        return
    remark("help for commands, Ctrl-D to leave.")
    session.obey(typed())


class Session:
    """Branches of one answer, one of which is looked at, and the commands that change them."""

    def __init__(self, walk: Walk, as_json: bool) -> None:
        self.branches = {"1": walk}
        self.name = "1"
        self._as_json = as_json
        self._commands: dict[str, Callable[[str], None]] = {
            "pick": self._pick, "run": self._run, "back": self._back, "set": self._set,
            "unset": self._unset, "branch": self._branch, "go": self._go,
        }  # fmt: skip
        self._plain: dict[str, Callable[[], None]] = {
            "show": self._show, "branches": self._branches, "why": self._why, "text": self._text,
            "ids": self._ids, "help": self._help, "quit": self._quit,
        }  # fmt: skip  # those that nothing follows
        self._left = False

    @property
    def walk(self) -> Walk:
        """The branch that is looked at."""
        return self.branches[self.name]

    def obey(self, lines: Iterator[str]) -> None:
        """Do what the lines say, until one says to leave."""
        for line in lines:
            self.attempt(line)
            if self._left:
                return

    def attempt(self, line: str) -> None:
        """Do what a line says; a mistake is told, and Ctrl-C stops it."""
        try:
            self._obey(line)
        except PellucidError as error:
            click.echo(f"pellucid: {error}", err=True)
        except KeyboardInterrupt:
            remark("stopped; show tells where")

    def _obey(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        name = name.removeprefix("/")  # as in `pellucid chat`
        name = _ALIASES.get(name, name)
        if not line:
            self._run("")
        elif plain := self._plain.get(name):
            if rest.strip():
                reason = f"nothing goes after it; a text stands in quotes: {_quoted(line)}"
                raise ParameterError(name, reason)
            plain()
        elif command := self._commands.get(name):
            command(rest)
        else:
            _check_text(line, [*self._plain, *self._commands])
            self._pick(line)

    def _pick(self, line: str) -> None:
        self.walk.pick(self._named(line))
        self._show()

    def _named(self, line: str) -> int | str:
        """A token by its number in the table, its id, its text in quotes, or its text."""
        if line.rstrip().isdecimal() and not self.walk.finish_reason:
            options = self.walk.candidates()
            number = _number("token", line)
            if not 1 <= number <= len(options):
                reason = f"the table has no number {number}; #{number} is the token of this id"
                raise ParameterError("token", reason)
            return options[number - 1].id
        if line.startswith("#") and line[1:].isdecimal():
            return _number("token", line[1:])
        return _unquoted(line) if line.startswith('"') else line

    def _run(self, rest: str) -> None:
        count = _number("run", rest) if rest.strip() else 1
        if self._as_json or count == 1:
            self.walk.sample(count)
        else:
            write_stream(self.walk.stream(count))
        self._show()

    def _back(self, rest: str) -> None:
        self.walk.back(_number("back", rest) if rest.strip() else 1)
        self._show()

    def _set(self, rest: str) -> None:
        if not rest.strip():
            told = (f"{name} {value}" for name, value in self.walk.parameters.given().items())
            remark("\n".join(told))
            return
        word, *values = _words(rest)
        name, equals, value = word.partition("=")  # name=value is as good
        self.walk.set(**_setting(_parameter(name), [value, *values] if equals else values))
        self._show()

    def _unset(self, rest: str) -> None:
        if not rest.strip():
            raise ParameterError("unset", "needs the name of a parameter; `set` shows them")
        self.walk.set(**dict.fromkeys(map(_parameter, rest.split())))
        self._show()

    def _branch(self, rest: str) -> None:
        name = rest.strip() or next(n for n in map(str, range(1, 2**31)) if n not in self.branches)
        if name in self.branches:
            raise ParameterError("branch", f"{shown(name)} is taken; `go {name}` goes there")
        self.branches[name] = self.walk.fork()
        self.name = name
        self._show()

    def _go(self, rest: str) -> None:
        name = rest.strip()
        if name not in self.branches:
            raise ParameterError("go", f"there is no {shown(name)}: {', '.join(self.branches)}")
        self.name = name
        self._show()

    def _branches(self) -> None:
        if self._as_json:
            print_json({"branches": [self._told(name) for name in self.branches]})
            return
        from pellucid.look.visible import harmless

        for name, walk in self.branches.items():
            mark = "→" if name == self.name else " "
            click.echo(f"{mark} {harmless(name)}  {harmless(walk.text)}", color=True)

    def _why(self) -> None:
        show(self.walk.why(), self._as_json)

    def _text(self) -> None:
        from pellucid.look.visible import harmless

        text = self.walk.text
        self._tell(harmless(text) if sys.stdout.isatty() else text)

    def _ids(self) -> None:
        self._tell(" ".join(map(str, self.walk.ids)))

    def _help(self) -> None:
        remark(_HELP)

    def _quit(self) -> None:
        self._left = True

    def _tell(self, line: str) -> None:
        """A line, or with --json the state, which has it."""
        if self._as_json:
            self._show()
        else:
            click.echo(line, color=True)

    def _show(self) -> None:
        if self._as_json:
            print_json({"branch": self.name, **self.walk.to_dict()})
        else:
            show(self.walk, as_json=False)

    def _told(self, name: str) -> dict[str, Any]:
        walk = self.branches[name]
        return {"branch": name, "text": walk.text, "ids": list(walk.ids)}


def _check_text(line: str, commands: Sequence[str]) -> None:
    """Refuse a text that is rather a command or a parameter, not quite as it is to be written."""
    word, _, rest = line.partition(" ")
    name, equals, _ = _parameter(word.lower()).partition("=")
    if line.startswith('"'):
        return
    meant: str | None
    if name in PARAMETERS and (rest or equals or "_" in name):
        meant = f"set {word.lower()} {rest}".strip()
    elif rest and not rest.isdecimal():
        return
    else:
        meant = _meant(name.removeprefix("/"), commands)
    if meant:
        reason = f"did you mean `{meant}`? a text stands in quotes: {_quoted(line)}"
        raise ParameterError("token", reason)


def _meant(word: str, commands: Sequence[str]) -> str | None:
    """The command that a word is another word for, in capitals perhaps, or misspells.

    >>> _meant("undoo", ["back"]), _meant("bakc", ["back"]), _meant("backs", ["back"])
    ('back', 'back', None)
    """
    known = {name: name for name in commands} | _ALIASES | _RESEMBLES
    if word in known:
        return known[word]
    long = [one for one in known if len(one) > 3]
    swapped = [one for one in long if sorted(one) == sorted(word)]
    near = swapped or get_close_matches(word, long, 1, 0.8)
    return known[near[0]] if near and word != f"{near[0]}s" else None


def _parameter(word: str) -> str:
    """The name of a parameter, which may be typed as an option.

    >>> _parameter("--top-k")
    'top_k'
    """
    return word.lstrip("-").replace("-", "_")


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        reason = f"must be a whole number, not {shown(text)}; a text may stand in quotes"
        raise ParameterError(name, reason) from None


def _quoted(line: str) -> str:
    return json.dumps(line, ensure_ascii=False)


def _unquoted(line: str) -> str:
    try:
        text = json.loads(line)
    except ValueError:
        raise ParameterError("token", f"must be quoted as in JSON, not {shown(line)}") from None
    assert isinstance(text, str), "what begins with a quote is a string"
    return text


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ParameterError("set", f"{error}".lower()) from None


def _setting(name: str, values: list[str]) -> dict[str, Any]:
    """What `set` changes, read as the options of the command line are."""
    if name not in PARAMETERS:
        parameters(**{name: values})  # which says so, and what is near
    command = sampling(click.Command("set"))
    option = next(param for param in command.params if param.name == name)
    assert isinstance(option, click.Option)
    dashed = name.replace("_", "-")
    if isinstance(PARAMETERS[name].kind, Flag):
        if values not in ([], ["true"], ["false"]):
            raise ParameterError(name, "must be true or false")
        arguments = [f"--{'no-' * (values == ['false'])}{dashed}"]
    elif (option.multiple and values) or len(values) == 1:
        arguments = [f"--{dashed}={value}" for value in values]
    else:
        raise ParameterError(name, f"needs one value, not {len(values)}; quotes join words")
    try:
        return {name: command.make_context("set", arguments).params[name]}
    except click.UsageError as error:
        raise ParameterError(name, error.message.rstrip(".")) from None
