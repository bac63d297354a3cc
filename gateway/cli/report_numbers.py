"""Numbers of a report, as short as a table wants them."""

from typing import Final

_UNITS: Final = ((10**9, "G"), (10**6, "M"), (10**3, "k"))
_BAR: Final = 16


def amount(count: int) -> str:
    """Write a number of tokens with three digits or more: "9,999", "12.3k", "4.80M"."""
    if count < 10_000:
        return f"{count:,}"
    for size, unit in _UNITS:
        if count >= size:
            scaled = count / size
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}{unit}"
    raise AssertionError(count)


def times(*values: float) -> str:
    """Write times in one unit: "148/289/381 ms", "0.80/1.8/12 s"; two digits of each, or all before the point."""
    in_seconds = max(values) >= 1000
    scaled = [value / 1000 if in_seconds else value for value in values]
    return f"{'/'.join(map(_digits, scaled))} {'s' if in_seconds else 'ms'}"


def _digits(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def short(name: str, most: int) -> str:
    """Shorten a long name in its middle, where names of models differ least."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[-(most - 1 - head) :]}"


def bar(part: int, whole: int) -> str:
    """Draw a share as a bar; what is not nothing is never drawn as nothing."""
    return "▇" * max(1, round(_BAR * part / whole)) if part and whole else ""
