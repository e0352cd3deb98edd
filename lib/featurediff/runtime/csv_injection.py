"""Texts from data in a CSV, where a spreadsheet must not take them for formulas.

A class may be called `=HYPERLINK("http://…")`, and a program that opens the CSV may run it. Quotes do not help. So `'`
is put before the sign that would begin the formula, as spreadsheets themselves mark a text, and taken away again by
this project's readers. A Parquet file has the text as it is.

Source: https://owasp.org/www-community/attacks/CSV_Injection
"""

import re

__all__ = ["as_text", "original"]

# A cell begins with the text, and behind a semicolon, tab or line end for a program whose lists are separated by these.
# The wide forms of = + - @ are formulas in Japanese settings. The page's charts.js has the same expression.
_BEGINS = r"(?:^|(?<=[;\t\r\n]))([\"']*)"
_SIGN = r"(?=[=+\-@\t\r＝＋－＠])"
_FORMULA = re.compile(_BEGINS + _SIGN)
_MARKED = re.compile(_BEGINS + "'" + _SIGN)


def as_text(text: str) -> str:
    """The text with `'` where a formula would begin; any other text stays as it is. `original` undoes it."""
    return _FORMULA.sub(r"\1'", text)


def original(text: str) -> str:
    """The text that `as_text` was given."""
    return _MARKED.sub(r"\1", text)
