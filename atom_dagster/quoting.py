"""Text put into another language: names and texts in SQL, JSON in a page's script.

Belongs here: escaping that more than one module needs. Does not belong here: any SQL or page.
"""

from __future__ import annotations

import json
from typing import Any


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """Text, or what is written as text (a path), as an SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


def script_json(value: Any) -> str:
    """JSON for the inside of a script element: nothing in it can end the element or begin another.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
