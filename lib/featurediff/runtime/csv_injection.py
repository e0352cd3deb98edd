"""Protects spreadsheets from texts that are formulas.

A class may be called `=HYPERLINK("http://…")`, and a spreadsheet that opens the CSV would run it, quoted or not. So
`'` is written before a sign that begins a formula, as spreadsheets themselves mark text, and removed when this project
reads the file. Parquet files hold the text unchanged.

Source: https://owasp.org/www-community/attacks/CSV_Injection
"""

import re

__all__ = ["as_text", "original"]

# A cell begins with the text, or after a semicolon, tab or line end in a program that separates cells by these. The
# wide forms of = + - @ begin formulas in Japanese settings. The page's charts.js has the same expression.
_BEGINS = r"(?:^|(?<=[;\t\r\n]))([\"']*)"
_SIGN = r"(?=[=+\-@\t\r＝＋－＠])"
_FORMULA = re.compile(_BEGINS + _SIGN)
_MARKED = re.compile(_BEGINS + "'" + _SIGN)


def as_text(text: str) -> str:
    """The text with `'` where a formula would begin; other texts are unchanged. `original` reverts it."""
    return _FORMULA.sub(r"\1'", text)


def original(text: str) -> str:
    """The text that `as_text` was given."""
    return _MARKED.sub(r"\1", text)
