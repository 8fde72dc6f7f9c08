"""OpenMetrics text (openmetrics.io, 1.0): families, labels, numbers. What is not known has no line."""

from collections.abc import Iterable, Mapping

MEDIA_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
END = b"# EOF\n"

Sample = tuple[Mapping[str, str], float | None]
"""Labels and a value; None is "not measured" and is left out."""


def family(name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> bytes:
    """A family with its lines. A counter's lines get `_total`, an info's `_info`.

    >>> print(family("x_seconds", "gauge", "Age.", [({"region": "nyc"}, 1.5), ({"region": "sin"}, None)]).decode(), end="")
    # TYPE x_seconds gauge
    # HELP x_seconds Age.
    x_seconds{region="nyc"} 1.5
    """
    suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
    lines = [f"# TYPE {name} {kind}", f"# HELP {name} {meaning}"]
    lines += [
        f"{name}{suffix}{labels(about)} {number(value)}" for about, value in samples if value is not None
    ]
    return ("\n".join(lines) + "\n").encode()


def labels(about: Mapping[str, str]) -> str:
    """Labels in braces; nothing when there are none."""
    return "{" + ",".join(f'{key}="{escaped(value)}"' for key, value in about.items()) + "}" if about else ""


def number(value: float) -> str:
    """A value without noise.

    >>> number(3), number(0.25), number(12345678901)
    ('3', '0.25', '12345678901')
    """
    return str(int(value)) if float(value).is_integer() else f"{value:.9g}"


def escaped(text: str) -> str:
    r"""A label's value.

    >>> escaped('S&P "Global"\n')
    'S&P \\"Global\\"\\n'
    """
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
