"""JSON from files that anyone may have changed: whatever is wrong is a ValueError."""

import json
from typing import Any


def parse(content: bytes | str) -> Any:
    """Return the value of a JSON text, which may begin with a byte order mark.

    Raises:
        ValueError: the text is not JSON, not UTF-8, nested too deeply, or holds an
            integer of more digits than Python reads.
    """
    text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_object(content: bytes | str) -> dict[str, Any]:
    """Return the JSON object of a text; raises ValueError as `parse` does."""
    value = parse(content)
    if not isinstance(value, dict):
        raise ValueError(f"must be a JSON object, not {type(value).__name__}")
    return value
