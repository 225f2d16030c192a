"""Which tokens have a role, as the small files beside a tokenizer name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.errors import FormatError
from pellucid.tokens.library import Added
from pellucid.tokens.tokenizer import SpecialIds
from pellucid.weights.checkpoint import Checkpoint

IdOf = Callable[[str], int | None]


@dataclass(frozen=True)
class Roles:
    """What tokenizer_config.json, special_tokens_map.json, generation_config.json and config.json
    say, the first that says anything counting.
    """

    checkpoint: Checkpoint
    config: Mapping[str, Any]
    names: Mapping[str, Any]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Roles:
        """Read the files that are there; raises FormatError for a damaged one."""
        config = checkpoint.read_json("tokenizer_config.json")
        return cls(checkpoint, config, checkpoint.read_json("special_tokens_map.json") | config)

    def added(self) -> list[Added]:
        """The added tokens that tokenizer_config.json lists."""
        listed = self.config.get("added_tokens_decoder", {})
        if not isinstance(listed, Mapping):
            raise self._error("added_tokens_decoder", "should be an object")
        return [self._added(number, token) for number, token in listed.items()]

    def ids(self, id_of: IdOf, default: SpecialIds | None = None) -> SpecialIds:
        """The ids of the roles; `default` is what the vocabulary's own file says."""
        default = default or SpecialIds()
        bos = self._id("bos", id_of, default.bos_id)
        eos = self._id("eos", id_of, default.eos_id)
        ends = [*self._numbers("eos_token_id"), *([] if eos is None else [eos])]
        return SpecialIds(
            bos_id=bos,
            eos_id=ends[0] if eos is None and ends else eos,
            pad_id=self._id("pad", id_of, default.pad_id),
            unk_id=self._id("unk", id_of, default.unk_id),
            eos_ids=tuple(dict.fromkeys(ends)),
        )

    def flag(self, name: str) -> bool | None:
        """A true or false of tokenizer_config.json; None if it is not there."""
        value = self.config.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._error(name, "should be true or false")
        return value

    def _id(self, role: str, id_of: IdOf, default: int | None) -> int | None:
        name = self._name(f"{role}_token")
        found = None if name is None else id_of(name)
        numbers = [] if found is not None else self._numbers(f"{role}_token_id")
        return found if found is not None else next(iter(numbers), default)

    def _name(self, key: str) -> str | None:
        match self.names.get(key):
            case str(text) | {"content": str(text)}:
                return text
            case None:
                return None
        raise self._error(key, "should be a token")

    def _numbers(self, key: str) -> list[int]:
        """Ids by generation_config.json, else by config.json: one, several or none."""
        given = self.checkpoint.generation.get(key, self.checkpoint.metadata.get(key))
        numbers = given if isinstance(given, list) else [] if given is None else [given]
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                place = f"{key} is {number!r:.40}, which is no token id"
                raise FormatError(self.checkpoint.path, "generation_config.json", place)
        return numbers

    def _added(self, number: str, token: object) -> Added:
        match token:
            case {"content": str(text), **flags} if number.isdecimal():
                on = {key for key, value in flags.items() if value is True}
                return Added(
                    id=int(number[:12]),
                    text=text,
                    special="special" in on,
                    strips_left="lstrip" in on,
                    strips_right="rstrip" in on,
                    single_word="single_word" in on,
                    normalized="normalized" in on,
                )
        raise self._error("added_tokens_decoder", f"{number!r:.40} is not a token with content")

    def _error(self, place: str, reason: str) -> FormatError:
        return FormatError(self.checkpoint.path / "tokenizer_config.json", place, reason)
