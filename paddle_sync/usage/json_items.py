"""The items of a JSON or JSON Lines file, one at a time. Pure; an item and a piece of the text are in memory.

The standard library's decoder reads each item where it stands in the text, and more text is fetched while an item is
not complete. A streaming parser (ijson) was tried first: its version 3.6.0 brings the whole process down on a number of
5,000 digits, and takes the 1 of {"item": 1} for an item of a list.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from paddle_sync.usage.cells import LARGEST_EXPONENT, MOST_DIGITS, exactly
from paddle_sync.usage.rows import FileRow, FileUnreadable, Limits, Problem
from paddle_sync.usage.unpacking import lines

WRAPPER = "measurements"
CORRECT = "Correct it there, or export it again."
OPENING = re.compile(rf'[ \t\r\n]*(?:\[|(?P<wrapper>\{{[ \t\r\n]*"{WRAPPER}"[ \t\r\n]*:[ \t\r\n]*\[))')
"""How a file begins that holds one list of items."""
_SPACE = re.compile(r"[ \t\r\n]*")
_NEXT = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")
_USUAL_DIGITS = 18


@dataclass(frozen=True)
class _Odd:
    """A value that is no use, in the place where it stands."""

    text: str
    reason: str
    remedy: str


class ItemDecoder:
    """Reads one item: numbers are int or Decimal within bounds, names stand once, texts can be kept.

    What is wrong with one value is told with its name, and the rest of the item is there to be shown.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._is_odd = False
        decoder = json.JSONDecoder(
            parse_float=self._number,
            parse_int=self._whole,
            parse_constant=self._constant,
            object_pairs_hook=self._object,
        )
        self.scan = decoder.raw_decode
        """Read the value at a place of a text: it, and the place after it. JSONDecodeError, RecursionError."""

    def forget(self) -> None:
        """Leave what was scanned since the last row out of account."""
        self._is_odd = False

    def row(self, number: int, item: Any, text: str, start: int, end: int) -> FileRow:
        """Make a row of an item just scanned at this place of the text."""
        is_odd, self._is_odd = self._is_odd, False
        if end - start > self._limits.longest_row:
            return FileRow(
                number, {}, Problem("", f"It is longer than {self._limits.longest_row:,} characters.", "Shorten it.")
            )
        if text.count("{", start, end) + text.count("[", start, end) > self._limits.most_nesting:
            depth = _depth(item)
            if depth > self._limits.most_nesting:
                return FileRow(number, {}, _too_deep(self._limits))
        if not isinstance(item, dict):
            return FileRow(number, {}, Problem("", "It is not an object.", "Write each item between { and }."))
        problem = None
        if is_odd or text.find("\\u", start, end) >= 0:
            problem = next(_wrong(item, ""), None)
            item = _plain(item) if problem else item
        return FileRow(number, item, problem)

    def _number(self, text: str) -> Any:
        exact = exactly(text)
        return self._odd_number(text) if exact is None else exact

    def _whole(self, text: str) -> Any:
        if len(text) <= _USUAL_DIGITS:
            return int(text)
        exact = exactly(text)
        return self._odd_number(text) if exact is None else exact

    def _odd_number(self, text: str) -> _Odd:
        self._is_odd = True
        remedy = f"Write at most {MOST_DIGITS} digits, and at most {LARGEST_EXPONENT} places from the point."
        return _Odd(text[:MOST_DIGITS], "The number has too many digits, or too large an exponent.", remedy)

    def _constant(self, text: str) -> _Odd:
        self._is_odd = True
        return _Odd(text, f"{text} is no finite number.", "Write a number, or leave the name out.")

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            self._is_odd = True
            seen: set[str] = set()
            for name, value in pairs:
                if name in seen:
                    text = value if isinstance(value, str) else ""
                    made[name] = _Odd(text, "This name stands twice in one object.", "Delete one.")
                seen.add(name)
        return made


class JsonItems:
    """The items of one list, read once from the first to the last."""

    def __init__(self, pieces: Iterator[str], limits: Limits, *, head: str) -> None:
        """`head` is the beginning of the text, and begins as OPENING says; `pieces` are what follows it."""
        opening = OPENING.match(head)
        if opening is None:
            raise ValueError("the text does not begin with a list")
        self._pieces = pieces
        self._limits = limits
        self._text = head
        self._at = opening.end()
        self._is_wrapped = opening["wrapper"] is not None
        self._line = 1

    def rows(self, skip: int = 0) -> Iterator[FileRow]:
        """Give the items after number `skip`. FileUnreadable where it cannot go on."""
        decoder = ItemDecoder(self._limits)
        number = 0
        try:
            goes_on = self._sign() != "]"
            while goes_on:
                number += 1
                item, end = self._item(decoder)
                begins, self._at = self._at, end
                if number > skip:
                    yield decoder.row(number, item, self._text, begins, end)
                else:
                    decoder.forget()
                found = _NEXT.match(self._text, end)
                if found and found.end() < len(self._text):
                    self._at = found.end()
                else:
                    goes_on = self._is_followed()
            self._close()
        except FileUnreadable as problem:
            raise problem.at(number) from None
        if not number:
            raise FileUnreadable("It holds no items.", "Put them between [ and ].")

    def _item(self, decoder: ItemDecoder) -> tuple[Any, int]:
        """Scan the item that begins here, with as much more text as it takes, up to the longest row."""
        while True:
            failure = None
            try:
                item, end = decoder.scan(self._text, self._at)
            except RecursionError:
                raise _stopped(_too_deep(self._limits)) from None
            except json.JSONDecodeError as problem:
                failure = problem
            else:
                # A number at the end of the text may go on in the next piece.
                if end < len(self._text):
                    return item, end
            if len(self._text) - self._at > self._limits.longest_row:
                told = f", or it is no JSON: {_told(failure)}" if failure else ""
                raise FileUnreadable(f"It is longer than {self._limits.longest_row:,} characters{told}.", CORRECT)
            if not self._more():
                if failure:
                    raise self._broken(failure)
                return item, end
            decoder.forget()

    def _is_followed(self) -> bool:
        """Go past a comma to the next item; False at the end of the list."""
        sign = self._sign()
        if sign == ",":
            self._at += 1
            self._sign()
            return True
        if sign != "]":
            raise FileUnreadable(f"Neither a comma nor ] follows it ({self._place()}).", CORRECT)
        return False

    def _close(self) -> None:
        """Read the end of the file after the list's last item; the bracket is the next sign."""
        self._at += 1
        if self._is_wrapped:
            if self._sign() != "}":
                text = f'Something beside "{WRAPPER}" follows its list, or the file ends too soon ({self._place()}).'
                raise FileUnreadable(text, "Write the list alone.")
            self._at += 1
        if self._sign():
            raise FileUnreadable(f"Something follows the end of the list ({self._place()}).", "Delete it.")

    def _sign(self) -> str:
        """Go to the next sign that is no space, and give it; nothing at the end of the file."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches nothing as well
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Drop the text that was read and fetch a piece; False at the end of the file, where nothing is moved."""
        piece = next(self._pieces, "")
        if piece:
            self._line += self._text.count("\n", 0, self._at)
            self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)

    def _broken(self, problem: json.JSONDecodeError) -> FileUnreadable:
        if problem.pos >= len(self._text.rstrip()) or problem.msg.startswith("Unterminated string"):
            return FileUnreadable("The file ends in the middle of it.", "Export it again.")
        return FileUnreadable(f"It is no JSON: {_told(problem)} ({self._place(problem.pos)}).", CORRECT)

    def _place(self, at: int | None = None) -> str:
        return f"line {self._line + self._text.count(chr(10), 0, self._at if at is None else at)}"


class JsonLines:
    """The items of a file that has one on each line, read once from the first to the last."""

    def __init__(self, pieces: Iterator[str], limits: Limits) -> None:
        self._lines = lines(pieces, longest=limits.longest_row, newline="\n")
        self._limits = limits

    def rows(self, skip: int = 0) -> Iterator[FileRow]:
        """Give the items after line `skip`; a bad line is a row with a problem, a blank one is counted, not given."""
        decoder = ItemDecoder(self._limits)
        number, is_empty = 0, not skip
        try:
            for cut in self._lines:
                for line in cut:
                    number += 1
                    if number > skip and (text := line.strip(" \t\r\n")):
                        is_empty = False
                        yield self._row(decoder, number, text)
        except FileUnreadable as problem:
            raise problem.at(number + 1) from None
        if is_empty:
            raise FileUnreadable("It holds no items.", "Write one on each line.")

    def _row(self, decoder: ItemDecoder, number: int, text: str) -> FileRow:
        try:
            item, end = decoder.scan(text, 0)
        except RecursionError:
            problem = _too_deep(self._limits)
        except json.JSONDecodeError as error:
            remedy = "Write one whole item on each line."
            problem = Problem("", f"It is no JSON: {_told(error)} at character {error.pos + 1}.", remedy)
        else:
            if end == len(text):
                return decoder.row(number, item, text, 0, end)
            remedy = "Write one item on each line, with nothing between them."
            problem = Problem("", f"Something follows the item at character {end + 1}.", remedy)
        decoder.forget()
        return FileRow(number, {}, problem)


def _told(error: json.JSONDecodeError) -> str:
    return f"{error.msg[:1].lower()}{error.msg[1:]}"


def _too_deep(limits: Limits) -> Problem:
    text = f"Its objects and lists are nested more than {limits.most_nesting} deep."
    return Problem("", text, "Write numbers and texts under values, and nothing below them.")


def _stopped(problem: Problem) -> FileUnreadable:
    return FileUnreadable(problem.reason, problem.remedy, column=problem.column)


def _depth(item: Any) -> int:
    """Count how deep objects and lists stand in each other, without a call for each."""
    depth, level = 0, [item]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [each for part in level for each in (part.values() if isinstance(part, dict) else part)]
    return depth


def _wrong(value: Any, name: str) -> Iterator[Problem]:
    """Find what cannot be kept or was marked, with the name where it stands."""
    match value:
        case _Odd():
            yield Problem(name, value.reason, value.remedy)
        case str() if _UNKEEPABLE.search(value):
            yield Problem(name, "It holds a character that no text may hold.", "Delete it.")
        case dict():
            for key, part in value.items():
                path = f"{name}.{key}" if name else key
                yield from _wrong(key, _UNKEEPABLE.sub("\ufffd", path))
                yield from _wrong(part, _UNKEEPABLE.sub("\ufffd", path))
        case list():
            for place, part in enumerate(value, 1):
                yield from _wrong(part, f"{name}[{place}]")


def _plain(value: Any) -> Any:
    """Give the value as it may be shown and kept."""
    match value:
        case _Odd():
            return value.text
        case str():
            return _UNKEEPABLE.sub("\ufffd", value)
        case dict():
            return {_plain(key): _plain(part) for key, part in value.items()}
        case list():
            return [_plain(part) for part in value]
        case _:
            return value
