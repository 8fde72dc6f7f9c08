"""What other people's vantages found, as public documents and as rows for `nettrace where --rtt`."""

from collections.abc import Iterable
from typing import Any

from nettrace.model.instant import NS_PER_MS, ms
from nettrace.model.measurement import HttpExchange, Measurement, Ping
from nettrace.model.path import Trace
from nettrace.model.remote import RemoteResult
from nettrace.wire.documents import document


def remote_document(result: RemoteResult, number: str) -> dict[str, Any]:
    """The measurement's own document, and who measured: `third_party` is true, always."""
    probe = result.probe
    return {
        **document(result.measurement),
        "third_party": True,
        "service": probe.service,
        "measurement": number,
        "city": probe.city,
        "country": probe.country,
        "asn": probe.asn,
        "network": probe.network,
        "latitude": probe.latitude,
        "longitude": probe.longitude,
        "cloud_region": probe.region,
    }


def least_rtt_ns(measurement: Measurement) -> int | None:
    """The least round trip to the target that the measurement holds, or None."""
    match measurement:
        case Ping():
            return min((each.rtt_ns for each in measurement.samples if each.rtt_ns), default=None)
        case Trace():
            return measurement.rtt_ns or None
        case HttpExchange():
            stage = measurement.stages.connect
            return stage.duration_ns or None if stage else None
        case _:
            return None


def rtt_rows(results: Iterable[RemoteResult]) -> list[str]:
    """`"LAT,LON",MIN_RTT_MS,FIRST_BYTE_MS` lines; a time in whole milliseconds counts as the most it can have been.

    A truncated time would make light draw too small a circle; a larger one only makes it less sharp.
    """
    rows: list[str] = []
    for result in results:
        least, probe = least_rtt_ns(result.measurement), result.probe
        if least is None or probe.latitude is None or probe.longitude is None:
            continue
        first = None
        if isinstance(result.measurement, HttpExchange):
            least += NS_PER_MS
            stage = result.measurement.stages.ttfb
            first = ms(stage.duration_ns + NS_PER_MS) if stage else None
        cells = [f'"{probe.latitude:.4f},{probe.longitude:.4f}"', f"{ms(least)}"]
        rows.append(",".join([*cells, *([] if first is None else [f"{first}"])]))
    return rows
