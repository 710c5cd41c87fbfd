"""Text that must follow a JSON schema or a regular expression: which tokens may come next, so that it can be finished.

What may come next is llguidance's to say. What it does not know is how many tokens are left: a text cut by `max_tokens`
would be no JSON. So a constraint always holds a way out, the tokens of a short completion of what was written. A token
is let in only if there is a way out after it that fits into what is left, and when as many tokens are left as the way
out has, it is taken. There is one before the first token, or `require` says that `max_tokens` is too small.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from quire.errors import UsageError
from quire.inference.completion import Completer, Vocabulary, literals_of_regex, literals_of_schema
from quire.tokens.tokenizer import Tokenizer

Mask = np.ndarray[Any, np.dtype[np.bool_]]

MOST_REFUSED = 4  # tokens of one place that were drawn and lead nowhere in time; then the way out is taken
DEEPEST = 100  # groups of a schema in each other: serde_json reads 128
# Between the parts of JSON: with any white space allowed, a model that likes it writes nothing else.
SPACE = r"(?: |\n {0,40})"
UNBOUNDED = 100_000  # tokens, where nobody said how many are left


class Constraint:
    """What one text must follow, and how far it is.

    Args:
        tokenizer: the one of the model.
        json_schema: write JSON of this schema: an object, or its text.
        regex: write text that this regular expression matches as a whole. The syntax is that of Rust's `regex`: \\d and
            \\w are digits and letters of any script, and there is no looking around.

    Raises:
        UsageError: not exactly one of them is given, or it cannot be read, or nothing can follow it.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, json_schema: str | dict[str, Any] | None = None, regex: str | None = None
    ) -> None:
        from llguidance import LLMatcher

        if (json_schema is None) == (regex is None):
            raise UsageError("exactly one of json_schema and regex is needed", where="constraint")
        self._vocabulary = _vocabulary(tokenizer)
        self._where = "regex" if json_schema is None else "json_schema"
        if json_schema is None:
            grammar = LLMatcher.grammar_from_regex(regex or "")
            literals = literals_of_regex(regex or "")
        else:
            schema = _read_schema(json_schema)
            try:
                grammar = LLMatcher.grammar_from_json_schema(schema, defaults={"whitespace_pattern": SPACE})
            except ValueError as error:  # unreadable options under "x-guidance"
                raise UsageError(str(error), where="json_schema") from None
            literals = literals_of_schema(schema)
        self._matcher = LLMatcher(self._vocabulary.backend, grammar, log_level=0)
        if self._matcher.is_error():
            raise UsageError(_explained(self._matcher.get_error()), where=self._where)
        self._completer = Completer(self._vocabulary, literals)
        self._way_out: Sequence[int] | None = None  # None: not looked for yet, or none found
        self._ways: dict[int, Sequence[int]] = {}  # after each token that was asked for in this place
        self._refused: set[int] = set()
        self._lost = False  # llguidance gave up: from here on the way out is followed

    def clone(self) -> Constraint:
        """Return a constraint that is where this one is and goes on by itself."""
        twin = object.__new__(Constraint)
        twin.__dict__.update(self.__dict__)
        twin._matcher = self._matcher.deep_copy()
        twin._ways, twin._refused = dict(self._ways), set(self._refused)
        return twin

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing can follow but its end."""
        return not self._way_out if self._lost else bool(self._matcher.is_stopped())

    @property
    def complete(self) -> bool:
        """Whether the text may end here."""
        return not self._way_out if self._lost else bool(self._matcher.is_accepting())

    def require(self, max_tokens: int) -> None:
        """Find a way out of at most so many tokens. Raises `UsageError` where there is none."""
        if self._way_out is None or len(self._way_out) > max_tokens:
            self._way_out = self._completer.complete(self._matcher, max_tokens)
        if self._way_out is None:
            raise UsageError(
                f"no text of at most {max_tokens} tokens was found that follows it",
                where=self._where,
                hint="Allow more with max_tokens, or ask for less",
            )

    def allowed(self, num_left: int | None = None) -> Mask:
        """Return which tokens (V,) of the tokenizer may come next, the end of text among them.

        Args:
            num_left: how many more may be written, the next one included; by default any number.
        """
        mask = np.zeros(self._vocabulary.size, dtype=np.bool_)
        way = self._way_out
        bounded = num_left is not None and way is not None
        if self._lost or (bounded and (len(way or ()) >= (num_left or 0) or len(self._refused) >= MOST_REFUSED)):
            mask[way[0] if way else self._vocabulary.end_of_text] = True
            return mask
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            self._give_up()
            return self.allowed(num_left)
        mask[:] = np.unpackbits(bits, count=self._vocabulary.size, bitorder="little")
        mask[self._vocabulary.unwritable] = False
        if self._refused:
            mask[list(self._refused)] = False
        mask[self._vocabulary.end_of_text] = self._matcher.is_accepting()
        if not mask.any():
            mask[way[0] if way else self._vocabulary.end_of_text] = True
        return mask

    def fits(self, token: int, num_left: int) -> bool:
        """Say whether the text can be finished with `num_left` tokens after `token`; if not, forbid that here."""
        way = self._after(token, num_left)
        if way is None:
            self._refused.add(token)
            return False
        self._ways[token] = way
        return True

    def accept(self, token: int) -> None:
        """Go on by a token that is allowed; the end of text changes nothing.

        Raises:
            UsageError: it is not allowed here.
        """
        if token == self._vocabulary.end_of_text:
            return
        way = self._ways.get(token)
        if way is None and self._way_out is not None:
            way = self._after(token, UNBOUNDED)
        if not self._lost and not self._matcher.consume_token(token):
            if way is None:
                raise UsageError(f"token {token} is not allowed here", where=self._where)
            self._lost = True
        self._way_out = way
        self._ways.clear()
        self._refused.clear()

    def _after(self, token: int, num_left: int) -> Sequence[int] | None:
        """Return a way out of at most `num_left` tokens after `token`, if one is found."""
        way = self._way_out
        if way and way[0] == token:
            return way[1:]  # there is no shorter one
        if self._lost:
            return None
        if way is not None:
            known = self._completer.reuse(self._matcher, token, way, num_left)
            if known is not None:
                return known
        ahead = self._matcher.deep_copy()
        if not ahead.consume_token(token):
            return None
        return self._completer.complete(ahead, num_left)

    def _give_up(self) -> None:
        if self._way_out is None:
            raise UsageError(f"too complex: {_explained(self._matcher.get_error())}", where=self._where)
        self._lost = True


@lru_cache(maxsize=4)  # 6 ms for 259 tokens, 0.2 s for 150,000
def _vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer)


def _read_schema(schema: str | dict[str, Any]) -> dict[str, Any]:
    try:
        value = json.loads(schema) if isinstance(schema, str) else schema
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON: {error}", where="json_schema") from None
    except RecursionError:
        raise UsageError("nested too deeply", where="json_schema") from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise UsageError(f"nested more than {DEEPEST} deep", where="json_schema")
        groups = [each for each in level if isinstance(each, dict | list)]
        level = [part for each in groups for part in (each.values() if isinstance(each, dict) else each)]
    if value is False:
        raise UsageError("nothing follows the schema false", where="json_schema")
    if value is True:
        return {}
    if not isinstance(value, dict):
        raise UsageError("a schema is an object", where="json_schema")
    return value


def _explained(message: str) -> str:
    """Return what llguidance says in one line, with the place in a regular expression."""
    found = re.search(r"regex parse error:\n {4}(.*)\n {4}( *)\^+\s*\nerror: ([^\n]*)", message)
    if found:
        return f"{found[3]}, at character {len(found[2]) + 1} of {found[1]!r}"
    line = re.sub(r'^at \d+\(\d+\): invalid regex ".*?" \(in regex\): ', "", message.strip()).splitlines()
    return line[0] if line else "it cannot be read"
