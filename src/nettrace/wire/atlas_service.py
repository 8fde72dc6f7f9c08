"""RIPE Atlas http, sslcert and ntp results as `HttpExchange`, `TlsCertificate` and `NtpQuery`."""

from base64 import b64decode
from binascii import Error as Base64Error
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import msgspec

from nettrace.errors import SourceError
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import (
    Clock,
    Grade,
    HttpExchange,
    Measurement,
    NtpQuery,
    Outcome,
    Reason,
    Stage,
    Stages,
    TlsCertificate,
)
from nettrace.wire.atlas_result import (
    LOST,
    UNKNOWN,
    Head,
    Milliseconds,
    Seconds,
    address,
    answered,
    kept,
    meaning,
    nanoseconds,
    read,
    read_entry,
    unsent,
    verdict,
)

_BLOCKED = frozenset({403, 451})
_PORTS = {"https": 443, "http": 80}
_PEM = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----")


class _HttpEntry(msgspec.Struct, kw_only=True):
    dst_addr: str | None = None
    addr: str | None = None
    res: int | None = None
    rt: Milliseconds | None = None
    ttr: Milliseconds | None = None
    ttc: Milliseconds | None = None
    bsize: int | None = None
    err: str | None = None
    dnserr: str | None = None


class _Http(Head, kw_only=True):
    uri: str | None = None
    src_addr: str | None = None
    result: list[dict[str, Any]] | None = None


class _Alert(msgspec.Struct, kw_only=True):
    level: int | None = None
    description: int | None = None
    decription: int | None = None


class _Certificates(Head, kw_only=True):
    dst_port: str | int | None = None
    method: str = "TLS"
    ver: str | None = None
    rt: Milliseconds | None = None
    ttc: Milliseconds | None = None
    cert: tuple[str, ...] = ()
    alert: _Alert | None = None
    err: str | None = None
    error: str | None = None
    dnserr: str | None = None


class _NtpPacket(msgspec.Struct, kw_only=True):
    rtt: Seconds | None = None
    offset: Seconds | None = None
    x: str | None = None
    error: str | None = None


class _Ntp(
    Head, rename={"reference": "ref-id", "delay": "root-delay", "dispersion": "root-dispersion"}, kw_only=True
):
    stratum: int | str | None = None
    reference: str | None = None
    delay: Seconds | None = None
    dispersion: Seconds | None = None
    result: tuple[_NtpPacket, ...] = ()


def http(row: dict[str, Any]) -> list[Measurement | SourceError]:
    """One exchange for every address that was asked. `total_ns` is Atlas' `rt`: all but resolving the name."""
    result = read(row, _Http)
    if result.result is None:
        return [_exchange(result, _first_firmware(result.src_addr))]
    entries = [read_entry(raw, _HttpEntry) for raw in result.result]
    return [entry if isinstance(entry, SourceError) else kept(_exchange, result, entry) for entry in entries]


def certificate(row: dict[str, Any]) -> list[Measurement | SourceError]:
    """The certificates of one handshake."""
    result = read(row, _Certificates)
    where = address(result.dst_addr)
    alert = _alert(result.alert)
    error = result.dnserr or result.error or result.err
    outcome, reason, detail = Outcome.MEASURED, None, None
    if result.dnserr:
        outcome, reason, detail = Outcome.FAILED, Reason.DNS, result.dnserr
    elif error:
        (outcome, reason), detail = meaning(error), error
    elif alert:
        outcome, reason, detail = Outcome.FAILED, Reason.TLS, alert
    elif not result.cert:
        raise SourceError("neither a certificate nor an error is in the result")
    return [
        TlsCertificate(
            vantage=result.vantage,
            target=result.dst_name or where or UNKNOWN,
            address=where,
            at=result.at,
            outcome=outcome,
            reason=reason,
            detail=detail,
            port=_port(result.dst_port),
            tls_version=_version(result.ver),
            fingerprints=tuple(_fingerprint(pem) for pem in result.cert),
            alert=alert,
            connect_ns=nanoseconds(result.ttc),
            response_ns=nanoseconds(result.rt),
            clock=Clock.USER,
        )
    ]


def ntp(row: dict[str, Any]) -> list[Measurement | SourceError]:
    """A round of questions to a time server; Atlas gives its times in seconds."""
    result = read(row, _Ntp)
    where = address(result.dst_addr)
    samples = tuple(
        unsent(packet.error)
        if packet.error is not None
        else LOST
        if packet.rtt is None
        else answered(abs(packet.rtt) * 1000)
        for packet in result.result
    )
    outcome, reason, detail = verdict(samples)
    return [
        NtpQuery(
            vantage=result.vantage,
            target=result.dst_name or where or UNKNOWN,
            address=where,
            at=result.at,
            outcome=outcome,
            reason=reason,
            detail=detail,
            samples=samples,
            offsets_ns=tuple(nanoseconds(packet.offset, NS_PER_S) for packet in result.result),
            stratum=result.stratum if isinstance(result.stratum, int) else None,
            reference=result.reference,
            root_delay_ns=nanoseconds(result.delay, NS_PER_S),
            root_dispersion_ns=nanoseconds(result.dispersion, NS_PER_S),
            clock=Clock.USER,
        )
    ]


def _first_firmware(text: str | None) -> _HttpEntry:
    """Firmware 0 and 1 wrote the whole result into `src_addr`: "GET4 ADDRESS SECONDS STATUS HEADER BODY"."""
    words = (text or "").split()
    if len(words) == 6 and words[0] in {"GET4", "GET6", "POST4", "POST6", "HEAD4", "HEAD6"}:
        try:
            return read(
                {"addr": words[1], "rt": float(words[2]) * 1000, "res": words[3], "bsize": words[5]},
                _HttpEntry,
            )
        except ValueError:
            raise SourceError(f"'{text}' is not a result of firmware 0") from None
    if text and "error" in text:
        return _HttpEntry(err=text)
    raise SourceError("no result is in the result")


def _exchange(result: _Http, entry: _HttpEntry) -> HttpExchange:
    where = address(entry.dst_addr or entry.addr)
    outcome, reason, detail = _http_verdict(entry)
    return HttpExchange(
        vantage=result.vantage,
        target=_host(result.uri) or where or UNKNOWN,
        address=where,
        at=result.at,
        outcome=outcome,
        reason=reason,
        detail=detail,
        url=result.uri or UNKNOWN,
        stages=Stages(
            dns=_stage(entry.ttr),
            connect=_stage(entry.ttc),
            total_ns=None if entry.err else nanoseconds(entry.rt),
        ),
        status=entry.res,
        body_bytes=entry.bsize,
        clock=Clock.USER,
    )


def _http_verdict(entry: _HttpEntry) -> tuple[Outcome, Reason | None, str | None]:
    if entry.dnserr is not None:
        return Outcome.FAILED, Reason.DNS, entry.dnserr
    if entry.err is not None:
        return *meaning(entry.err), entry.err
    if entry.res is None:
        raise SourceError("neither a status nor an error is in the result")
    if entry.res in _BLOCKED:
        return Outcome.FAILED, Reason.BLOCKED, f"the server answered {entry.res}"
    if entry.res >= 500:
        return Outcome.FAILED, Reason.HTTP, f"the server answered {entry.res}"
    return Outcome.MEASURED, None, None


def _stage(milliseconds: float | None) -> Stage | None:
    duration = nanoseconds(milliseconds)
    return None if duration is None else Stage(duration_ns=duration, error_ns=None, grade=Grade.USER)


def _host(uri: str | None) -> str | None:
    try:
        return urlsplit(uri or "").hostname
    except ValueError:
        raise SourceError(f"'{(uri or '')[:60]}' is not a URL") from None


def _port(port: str | int | None) -> int | None:
    if isinstance(port, str):
        return int(port) if port.isdecimal() and len(port) < 6 else _PORTS.get(port.lower())
    return port


def _version(version: str | None) -> str | None:
    """Atlas' record version as everybody writes it: 3.0 is SSLv3."""
    return {None: None, "3.0": "SSLv3", "3.1": "TLSv1.0", "1.0": "TLSv1.0"}.get(version, f"TLSv{version}")


def _alert(alert: _Alert | None) -> str | None:
    if alert is None:
        return None
    description = alert.description if alert.description is not None else alert.decription
    return f"TLS alert {description}, level {alert.level}"


def _fingerprint(pem: str) -> str:
    body = pem.strip().removeprefix(_PEM[0]).removesuffix(_PEM[1])
    try:
        return sha256(b64decode("".join(body.split()), validate=True)).hexdigest()
    except (Base64Error, ValueError):
        raise SourceError("a certificate is not PEM") from None
