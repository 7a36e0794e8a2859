"""Kubernetes quantities of bytes: 256Mi, 1.5G, 1e6, 128974848."""

import re
from decimal import Decimal

_QUANTITY = re.compile(
    r"([0-9]{0,18}\.?[0-9]{1,18}|[0-9]{1,18}\.)([KMGTPE]i|[mkMGTPE]|[eE][+-]?\d{1,2})?"
)
_POWERS = {"K": 1, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_MOST = 2**63 - 1


def whole_bytes(text: str) -> int | None:
    """The bytes, rounded down; None where it is no quantity, or more than 63 bits hold."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, unit = Decimal(match[1]), match[2] or ""
    if unit.endswith("i"):
        number *= 1024 ** _POWERS[unit[0]]
    elif unit == "m":
        number /= 1000
    elif unit in _POWERS:
        number *= 1000 ** _POWERS[unit]
    elif unit:
        number *= Decimal(f"1{unit}")
    return int(number) if number <= _MOST else None
