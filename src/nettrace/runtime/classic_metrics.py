"""Prometheus' older text format (0.0.4) made of OpenMetrics: for scrapers and linters that read nothing newer."""

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def wanted(accept: str) -> bool:
    """True when a caller names the older format and not OpenMetrics.

    >>> wanted("text/plain"), wanted("*/*"), wanted("application/openmetrics-text,text/plain;q=0.5")
    (True, False, False)
    """
    return "text/plain" in accept and "openmetrics" not in accept


def classic(openmetrics: bytes) -> bytes:
    r"""The same samples in the older format.

    There a counter's family is named like its samples, an info is a gauge, and `_created` lines and `# EOF` are unknown.

    >>> print(classic(b'# TYPE x counter\n# HELP x Xs.\nx_total 3\nx_created 9\n# EOF\n').decode(), end="")
    # HELP x_total Xs.
    # TYPE x_total counter
    x_total 3
    """
    out: list[str] = []
    name = suffix = kind = ""
    for line in openmetrics.decode().splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split(" ")[2:4]
            suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
        elif line.startswith("# HELP "):
            out.append(f"# HELP {name}{suffix} {line.split(' ', 3)[3]}")
            out.append(f"# TYPE {name}{suffix} {'gauge' if kind == 'info' else kind}")
        elif line != "# EOF" and not line.startswith(f"{name}_created"):
            out.append(line)
    return ("\n".join(out) + "\n").encode()
