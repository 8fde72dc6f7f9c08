"""RIPE Atlas results become measurements: nothing invented, nothing lost, what is broken named by its line."""

import gzip
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nettrace.errors import SourceError
from nettrace.model.measurement import (
    Clock,
    DnsLookup,
    Grade,
    HttpExchange,
    Measurement,
    NtpQuery,
    Outcome,
    Ping,
    Reason,
    Sample,
    SampleState,
    TlsCertificate,
)
from nettrace.model.path import Label, StopReason, Trace
from nettrace.outside.atlas import import_atlas
from nettrace.wire.atlas import Imported, Malformed, read_atlas
from nettrace.wire.documents import document

RESULTS = Path(__file__).parents[1] / "data" / "atlas" / "results.jsonl"
LINES = RESULTS.read_bytes().splitlines()
MS = 1_000_000


def measurements(*rows: dict[str, Any]) -> list[Measurement]:
    found = list(read_atlas(json.dumps(row) for row in rows))
    assert all(isinstance(one, Imported) for one in found), found
    return [one.measurement for one in found if isinstance(one, Imported)]


def real(msm_id: int, prb_id: int) -> list[Measurement]:
    found = [one for one in read_atlas(LINES) if isinstance(one, Imported)]
    return [
        one.measurement
        for one in found
        if (one.measurement_id, one.measurement.vantage) == (msm_id, f"atlas:{prb_id}")
    ]


def rtts_ms(samples: Sequence[Sample]) -> list[float | None]:
    return [None if sample.rtt_ns is None else sample.rtt_ns / MS for sample in samples]


def states(samples: Sequence[Sample]) -> list[SampleState]:
    return [sample.state for sample in samples]


PING = {
    "type": "ping",
    "prb_id": 7,
    "msm_id": 1001,
    "fw": 5080,
    "timestamp": 1_700_000_000,
    "dst_name": "k.example",
    "dst_addr": "193.0.14.129",
    "proto": "ICMP",
    "result": [{"rtt": 1.25}, {"x": "*"}, {"rtt": 1.5}],
}
TRACE = {
    "type": "traceroute",
    "prb_id": 7,
    "msm_id": 5001,
    "fw": 5080,
    "timestamp": 1_700_000_000,
    "dst_name": "a.example",
    "dst_addr": "198.18.0.9",
    "src_addr": "10.0.0.2",
    "proto": "UDP",
    "paris_id": 3,
}


def trace(*hops: dict[str, Any], **more: Any) -> Trace:
    (made,) = measurements({**TRACE, **more, "result": list(hops)})
    assert isinstance(made, Trace)
    return made


def hop(ttl: int, *replies: dict[str, Any]) -> dict[str, Any]:
    return {"hop": ttl, "result": list(replies)}


def reply(source: str, rtt: float, **more: Any) -> dict[str, Any]:
    return {"from": source, "rtt": rtt, "size": 28, "ttl": 60, **more}


STAR = {"x": "*"}


class TestEverything:
    """What holds for all results."""

    def test_every_line_of_the_sample_is_read(self) -> None:
        found = list(read_atlas(LINES))
        assert [one for one in found if isinstance(one, Malformed)] == []
        kinds = {type(one.measurement) for one in found if isinstance(one, Imported)}
        assert kinds == {Ping, Trace, DnsLookup, HttpExchange, TlsCertificate, NtpQuery}
        assert len({one.line for one in found}) == len(LINES) == 33

    def test_every_measurement_has_a_public_document(self) -> None:
        for one in read_atlas(LINES):
            assert isinstance(one, Imported)
            made = document(one.measurement)
            assert made["vantage"].startswith("atlas:")
            assert json.loads(json.dumps(made)) == made

    def test_atlas_times_are_user_space_times_without_an_error_bar(self) -> None:
        """Atlas does not say how far its times may be off, so neither do we; grade U never feeds an alert."""
        (made,) = measurements(PING)
        assert isinstance(made, Ping)
        assert made.clock is Clock.USER
        assert {(sample.grade, sample.error_ns) for sample in made.samples if sample.rtt_ns} == {
            (Grade.USER, None)
        }

    def test_who_what_and_when(self) -> None:
        (found,) = read_atlas([json.dumps(PING)])
        assert isinstance(found, Imported)
        assert (found.line, found.measurement_id, found.firmware) == (1, 1001, 5080)
        made = found.measurement
        assert (made.vantage, made.target, made.address) == ("atlas:7", "k.example", "193.0.14.129")
        assert made.at == 1_700_000_000 * 10**9

    def test_numbers_may_be_strings(self) -> None:
        found = list(read_atlas([json.dumps({**PING, "fw": "4570", "msm_id": "1001", "prb_id": "7"})]))
        assert isinstance(found[0], Imported)
        assert (found[0].firmware, found[0].measurement_id) == (4570, 1001)

    def test_addresses_take_their_canonical_form(self) -> None:
        (made,) = measurements({**PING, "dst_addr": "2001:6b0:e:3:0:0:0:1"})
        assert made.address == "2001:6b0:e:3::1"


class TestPing:
    """Rounds of pings."""

    def test_answers_and_losses_stand_in_sending_order(self) -> None:
        (made,) = measurements(PING)
        assert isinstance(made, Ping)
        assert rtts_ms(made.samples) == [1.25, None, 1.5]
        assert made.outcome is Outcome.MEASURED

    def test_late_and_doubled_answers_are_left_out(self) -> None:
        (made,) = real(1000192, 1216)
        assert isinstance(made, Ping)
        assert rtts_ms(made.samples) == [None, 27.768]

    def test_nothing_but_silence_is_a_timeout(self) -> None:
        (made,) = measurements({**PING, "result": [STAR, STAR]})
        assert (made.outcome, made.reason) == (Outcome.FAILED, Reason.TIMEOUT)

    def test_a_probe_without_a_network_measured_nothing(self) -> None:
        (made,) = real(1001, 10063)
        assert isinstance(made, Ping)
        assert (made.outcome, made.reason) == (Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN)
        assert states(made.samples) == [SampleState.NOT_MEASURED]

    def test_the_first_firmware_gave_only_the_fastest_and_the_slowest(self) -> None:
        """Three came back; what the third took is not known and not made up."""
        (made,) = real(1000192, 677)
        assert isinstance(made, Ping)
        assert rtts_ms(made.samples) == [57.876, 58.272, None]
        assert states(made.samples)[2] is SampleState.NOT_MEASURED
        assert "not in sending order" in (made.detail or "")


class TestTraceroute:
    """Paths."""

    def test_a_path_ends_at_the_destination(self) -> None:
        made = trace(
            hop(1, reply("10.0.0.1", 0.5), reply("10.0.0.1", 0.6), STAR),
            hop(2, STAR, STAR, STAR),
            hop(3, reply("198.18.0.9", 9.5), reply("198.18.0.9", 9.0), STAR),
            hop(4, STAR),
        )
        assert (made.reached, made.stop, made.outcome) == (True, StopReason.REACHED, Outcome.MEASURED)
        assert [one.address for one in made.hops] == ["10.0.0.1", None, "198.18.0.9"]
        assert made.rtt_ns == 9 * MS
        assert (made.flow, made.method.value, made.vantage) == (3, "udp", "atlas:7")
        assert rtts_ms(made.hops[0].samples) == [0.5, 0.6, None]

    def test_a_hop_that_answered_from_several_addresses_names_them_all(self) -> None:
        made = trace(hop(4, reply("10.0.0.1", 1), reply("10.0.0.2", 1), reply("10.0.0.1", 1)))
        assert (made.hops[0].address, made.hops[0].also) == ("10.0.0.1", ("10.0.0.2",))

    def test_the_destination_comes_first_and_its_own_time_counts(self) -> None:
        made = trace(hop(4, reply("10.0.0.1", 1.0), reply("198.18.0.9", 2.0), reply("198.18.0.9", 3.0)))
        assert (made.hops[0].address, made.hops[0].also) == ("198.18.0.9", ("10.0.0.1",))
        assert made.rtt_ns == 2 * MS

    def test_late_answers_belong_to_other_probes(self) -> None:
        made = trace(
            hop(1, {"from": "10.0.0.9", "late": 3, "ttl": 64, "size": 68}, STAR, reply("10.0.0.1", 1))
        )
        assert (made.hops[0].address, made.hops[0].also) == ("10.0.0.1", ())
        assert rtts_ms(made.hops[0].samples) == [None, 1.0]

    def test_doubled_answers_count_once(self) -> None:
        made = trace(hop(1, reply("10.0.0.1", 1), reply("10.0.0.1", 2, dup=True)))
        assert rtts_ms(made.hops[0].samples) == [1.0]

    def test_labels_come_along_and_other_extensions_do_not(self) -> None:
        mpls = [{"label": 900395, "exp": 3, "s": 1, "ttl": 1}]
        made = trace(
            hop(
                1,
                reply("10.0.0.1", 1, icmpext={"version": 0, "rfc4884": 1, "obj": [{"class": 0, "type": 0}]}),
            ),
            hop(
                2,
                reply(
                    "10.0.0.2",
                    1,
                    icmpext={"version": 2, "rfc4884": 1, "obj": [{"class": 1, "type": 1, "mpls": mpls}]},
                ),
            ),
        )
        assert made.hops[0].labels == ()
        assert made.hops[1].labels == (Label(900395, 3, True, 1),)

    @pytest.mark.parametrize(
        ("error", "annotation"),
        [("N", "!N"), ("H", "!H"), ("A", "!X"), ("P", "!P"), (13, "!<13>"), ("h", "!h")],
    )
    def test_a_refusal_is_annotated_as_traceroute_does(self, error: str | int, annotation: str) -> None:
        made = trace(hop(1, reply("10.0.0.1", 1, err=error)))
        assert made.hops[0].annotation == annotation
        assert (made.stop, made.outcome, made.reason) == (
            StopReason.UNREACHABLE,
            Outcome.FAILED,
            Reason.UNREACHABLE,
        )

    def test_port_unreachable_of_the_destination_is_an_arrival(self) -> None:
        made = trace(hop(1, reply("198.18.0.9", 1, err="p")))
        assert made.reached
        assert made.hops[0].annotation is None

    def test_unreachable_said_by_the_probe_itself_is_its_own_fault(self) -> None:
        (made,) = (one for one in real(1019825, 82) if isinstance(one, Trace) and one.hops)
        assert made.hops[0].annotation == "!H"
        assert (made.outcome, made.reason) == (Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN)

    def test_the_last_resort_with_ttl_255_is_kept_only_if_it_brought_something(self) -> None:
        silent = [hop(ttl, STAR) for ttl in range(2, 7)]
        made = trace(hop(1, reply("10.0.0.1", 1)), *silent, hop(255, STAR, STAR, STAR))
        assert [one.ttl for one in made.hops] == [1, 2, 3, 4, 5, 6]
        assert (made.stop, made.outcome, made.reason) == (StopReason.GAP, Outcome.FAILED, Reason.TIMEOUT)
        made = trace(hop(1, reply("10.0.0.1", 1)), *silent, hop(255, reply("198.18.0.9", 7, ittl=249)))
        assert (made.hops[-1].ttl, made.hops[-1].quoted_ttl, made.reached) == (255, 249, True)

    def test_a_path_to_the_last_ttl_without_arriving(self) -> None:
        made = trace(*(hop(ttl, reply(f"10.0.0.{ttl}", 1)) for ttl in range(1, 33)))
        assert (made.stop, made.outcome, made.rtt_ns) == (StopReason.MAX_TTL, Outcome.FAILED, None)

    def test_the_smallest_mtu_on_the_way(self) -> None:
        made = trace(hop(1, reply("10.0.0.1", 1, mtu=1480)), hop(2, reply("10.0.0.2", 1, mtu=1400)))
        assert (made.hops[0].mtu_bytes, made.path_mtu_bytes) == (1480, 1400)

    @pytest.mark.parametrize(
        ("msm_id", "prb_id", "outcome", "reason"),
        [
            (79033209, 7126, Outcome.FAILED, Reason.DNS),
            (1033154, 11684, Outcome.NOT_MEASURED, Reason.ABORTED),
        ],
    )
    def test_what_kept_it_from_starting(
        self, msm_id: int, prb_id: int, outcome: Outcome, reason: Reason
    ) -> None:
        (made,) = real(msm_id, prb_id)
        assert isinstance(made, Trace)
        assert (made.outcome, made.reason, made.stop, made.hops) == (outcome, reason, StopReason.ABORTED, ())
        assert made.detail

    def test_a_real_path_with_labels(self) -> None:
        (made,) = real(79033209, 11813)
        assert isinstance(made, Trace)
        assert made.reached
        assert made.hops[-1].address == made.address == "172.217.169.78"
        assert any(one.labels for one in made.hops)


class TestServices:
    """dns, http, sslcert, ntp."""

    def test_a_dns_answer_is_read_from_its_bytes(self) -> None:
        (made,) = real(1004041, 184)
        assert isinstance(made, DnsLookup)
        assert (made.target, made.question_type, made.address) == ("as250.net", "A", "193.227.234.53")
        assert made.rcode == "NOERROR"
        assert made.answers == (("A", "194.150.168.100", 3600),)
        assert made.sample is not None
        assert made.sample.rtt_ns == 45_305_000

    def test_each_server_asked_is_a_lookup_and_the_silent_one_was_asked_the_same(self) -> None:
        lookups = [one for one in real(1687652, 2793) if isinstance(one, DnsLookup)]
        assert {(one.target, one.question_type) for one in lookups} == {("ripe.net", "MX")}
        assert [one.outcome for one in lookups] == [Outcome.MEASURED, Outcome.MEASURED, Outcome.FAILED]
        assert lookups[2].reason is Reason.TIMEOUT
        assert lookups[2].sample is not None
        assert lookups[2].sample.state is SampleState.LOST
        assert [one.at // 10**9 for one in lookups] == [1403098937, 1403098938, 1403098939]

    def test_a_name_that_does_not_exist_has_failed_although_the_server_answered(self) -> None:
        (made,) = real(2815716, 11602)
        assert isinstance(made, DnsLookup)
        assert (made.outcome, made.reason, made.rcode) == (Outcome.FAILED, Reason.DNS, "NXDOMAIN")
        assert made.sample is not None
        assert made.sample.state is SampleState.ANSWERED

    def test_the_question_is_taken_from_its_own_bytes_when_the_answer_was_not_kept(self) -> None:
        for made in real(1666151, 15112):
            assert isinstance(made, DnsLookup)
            assert (made.target.endswith(".www.twitter.com"), made.rcode) == (True, None)

    def test_a_lost_answer_alone_does_not_say_what_was_asked(self) -> None:
        (made,) = measurements(
            {
                "type": "dns",
                "prb_id": 1,
                "timestamp": 1,
                "dst_addr": "192.0.2.1",
                "error": {"timeout": 5000},
            }
        )
        assert isinstance(made, DnsLookup)
        assert (made.target, made.question_type, made.reason) == ("?", "?", Reason.TIMEOUT)

    def test_an_answer_of_broken_bytes_is_a_failure_of_the_server(self) -> None:
        (made,) = measurements(
            {"type": "dns", "prb_id": 1, "timestamp": 1, "result": {"rt": 5.0, "abuf": "AAAA"}}
        )
        assert (made.outcome, made.reason) == (Outcome.FAILED, Reason.DNS)
        assert "cannot be read" in (made.detail or "")

    def test_one_broken_server_does_not_cost_the_others(self) -> None:
        good = {"dst_addr": "192.0.2.1", "result": {"rt": 5.0}}
        row = {"type": "dns", "prb_id": 1, "timestamp": 1}
        found = list(
            read_atlas(
                [json.dumps({**row, "resultset": [good, {**good, "dst_addr": "no"}, {"result": 5}, good]})]
            )
        )
        assert [type(one) for one in found] == [Imported, Malformed, Malformed, Imported]

    @pytest.mark.parametrize(
        ("msm_id", "prb_id", "status", "total_ms", "body_bytes"),
        [(1003930, 2707, 200, 71.146, 22383)],
    )
    def test_an_http_exchange(
        self, msm_id: int, prb_id: int, status: int, total_ms: float, body_bytes: int
    ) -> None:
        (made,) = real(msm_id, prb_id)
        assert isinstance(made, HttpExchange)
        assert (made.url, made.target) == ("http://www.ripe.net/", "www.ripe.net")
        assert (made.status, made.body_bytes) == (status, body_bytes)
        assert made.stages.total_ns == total_ms * MS
        assert made.stages.ttfb is None

    def test_the_first_firmware_wrote_http_results_as_words(self) -> None:
        first, second, third = (one for one in real(12023, 1) if isinstance(one, HttpExchange))
        assert (first.status, first.body_bytes, first.address) == (200, 1406, "193.0.6.139")
        assert first.stages.total_ns == 42_268_000
        assert (second.outcome, second.detail) == (Outcome.FAILED, "connect error 4")
        assert third.stages.total_ns == 27_276_000

    @pytest.mark.parametrize(
        ("entry", "outcome", "reason"),
        [
            ({"err": "timeout reading chunk"}, Outcome.FAILED, Reason.TIMEOUT),
            ({"err": "connect: Connection refused"}, Outcome.FAILED, Reason.REFUSED),
            ({"err": "connect: Network is unreachable"}, Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN),
            ({"err": "something new"}, Outcome.NOT_MEASURED, Reason.ABORTED),
            ({"dnserr": "non-recoverable failure"}, Outcome.FAILED, Reason.DNS),
            ({"res": 451, "rt": 1.0}, Outcome.FAILED, Reason.BLOCKED),
            ({"res": 502, "rt": 1.0}, Outcome.FAILED, Reason.HTTP),
            ({"res": 404, "rt": 1.0}, Outcome.MEASURED, None),
        ],
    )
    def test_how_an_http_exchange_ends(
        self, entry: dict[str, Any], outcome: Outcome, reason: Reason | None
    ) -> None:
        row = {"type": "http", "prb_id": 1, "timestamp": 1, "uri": "http://a.example/x"}
        (made,) = measurements({**row, "result": [entry]})
        assert (made.outcome, made.reason) == (outcome, reason)

    def test_certificates_are_known_by_their_fingerprints(self) -> None:
        (made,) = real(1006864, 12)
        assert isinstance(made, TlsCertificate)
        assert made.fingerprints == ("f9c1dccecec2e84200d1a1b50d9309de73dace560afda3bbb1cc1e2e4715c3a6",)
        assert (made.port, made.tls_version) == (443, "SSLv3")
        assert (made.connect_ns, made.response_ns) == (57_617_000, 119_526_000)

    @pytest.mark.parametrize(
        ("msm_id", "prb_id", "outcome", "reason"),
        [
            (1006864, 517, Outcome.FAILED, Reason.DNS),
            (3322890, 10008, Outcome.FAILED, Reason.TLS),
            (1234567, 9999, Outcome.NOT_MEASURED, Reason.NOT_PERMITTED),
        ],
    )
    def test_handshakes_that_showed_none(
        self, msm_id: int, prb_id: int, outcome: Outcome, reason: Reason
    ) -> None:
        (made,) = real(msm_id, prb_id)
        assert (made.outcome, made.reason) == (outcome, reason)

    def test_a_time_server_in_atlas_seconds(self) -> None:
        (made,) = measurements(
            {
                "type": "ntp",
                "prb_id": 1,
                "timestamp": 1,
                "dst_addr": "192.0.2.1",
                "stratum": 2,
                "ref-id": "GPS",
                "root-delay": 0.0005,
                "root-dispersion": 0.001,
                "result": [{"rtt": 0.0305, "offset": -0.002}, STAR],
            }
        )
        assert isinstance(made, NtpQuery)
        assert (rtts_ms(made.samples), made.offsets_ns) == ([30.5, None], (-2_000_000, None))
        assert (made.stratum, made.reference, made.root_delay_ns) == (2, "GPS", 500_000)
        assert made.outcome is Outcome.MEASURED

    def test_a_silent_time_server(self) -> None:
        (made,) = real(1020235, 71)
        assert (made.outcome, made.reason) == (Outcome.FAILED, Reason.TIMEOUT)


class TestFiles:
    """Lines, arrays, documents, gzip; and what is broken in them."""

    def test_what_is_broken_is_named_by_its_line_and_nothing_else_is_lost(self) -> None:
        good = json.dumps(PING)
        lines = [good, "", "{broken", "[]", '"text"', "7", good[:-20], json.dumps({"type": "wifi"}), good]
        found = list(read_atlas(lines))
        assert [one.line for one in found if isinstance(one, Imported)] == [1, 9]
        assert [one.line for one in found if isinstance(one, Malformed)] == [3, 4, 5, 6, 7, 8]

    def test_a_broken_first_line_does_not_cost_the_rest(self) -> None:
        found = list(read_atlas(['{"type": "ping", "prb_id"', json.dumps(PING), json.dumps(PING)]))
        assert [type(one) for one in found] == [Malformed, Imported, Imported]
        assert [one.line for one in found] == [1, 2, 3]

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"prb_id": None}, "prb_id"),
            ({"timestamp": -1}, "timestamp"),
            ({"timestamp": 10**15}, "timestamp"),
            ({"dst_addr": "somewhere"}, "'somewhere' is not an IP address"),
            ({"result": "nothing"}, "result"),
            ({"result": [{"rtt": -1}]}, "rtt"),
            ({"result": [{"rtt": "nan"}]}, "rtt"),
            ({"result": [{"rtt": 1e300}]}, "rtt"),
            ({"proto": "SCTP"}, "SCTP"),
            ({"type": "wifi"}, "'wifi' are not imported"),
            ({"type": 5}, "type"),
        ],
    )
    def test_why_a_result_is_malformed(self, change: dict[str, Any], why: str) -> None:
        (found,) = read_atlas([json.dumps({**PING, **change})])
        assert isinstance(found, Malformed)
        assert why in found.why

    @pytest.mark.parametrize("indent", [None, 2])
    def test_a_json_array(self, indent: int | None) -> None:
        text = json.dumps([PING, {"type": "wifi"}, PING], indent=indent)
        found = list(read_atlas(text.splitlines(keepends=True)))
        assert [(one.line, type(one)) for one in found] == [(1, Imported), (2, Malformed), (3, Imported)]

    @pytest.mark.parametrize("indent", [None, 1])
    def test_a_document_with_metadata(self, indent: int | None) -> None:
        text = json.dumps(
            {"meta_data": {"af": 4}, "results": [PING, PING], "probes": [{"id": 7}]}, indent=indent
        )
        assert [type(one) for one in read_atlas(text.splitlines())] == [Imported, Imported]

    def test_one_result_over_several_lines(self) -> None:
        (found,) = read_atlas(json.dumps(PING, indent=1).splitlines())
        assert isinstance(found, Imported)

    @pytest.mark.parametrize("indent", [None, 1])
    @pytest.mark.parametrize("wrap", [False, True])
    def test_a_document_cut_off_gives_what_came_before_the_cut(self, indent: int | None, wrap: bool) -> None:
        rows = [PING, PING, PING]
        text = json.dumps({"meta_data": {}, "results": rows} if wrap else rows, indent=indent)[:-80]
        found = list(read_atlas(text.splitlines()))
        assert [type(one) for one in found] == [Imported, Imported, Malformed]
        assert "nothing behind result 2 can be read" in getattr(found[-1], "why", "")

    def test_a_byte_order_mark_and_bytes_that_are_no_text(self) -> None:
        line = json.dumps(PING).encode()
        found = list(read_atlas([b"\xef\xbb\xbf" + line, line.replace(b"k.example", b"\xff.example")]))
        assert [type(one) for one in found] == [Imported, Imported]

    @pytest.mark.parametrize("name", ["results.jsonl", "results.jsonl.gz", "results.anything"])
    def test_a_file_plain_or_gzip_whatever_its_name(self, tmp_path: Path, name: str) -> None:
        data = RESULTS.read_bytes()
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name != "results.jsonl" else data)
        assert list(import_atlas(path)) == list(read_atlas(data.splitlines()))

    def test_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = gzip.compress(RESULTS.read_bytes())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))  # pyright: ignore[reportArgumentType]
        assert len(list(import_atlas("-"))) > 33

    def test_a_gzip_file_cut_off_gives_what_came_before_the_cut(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.gz"
        path.write_bytes(gzip.compress(RESULTS.read_bytes())[:-2000])
        found = list(import_atlas(path))
        assert sum(isinstance(one, Imported) for one in found) > 20
        assert isinstance(found[-1], Malformed)
        assert "the file ends here" in found[-1].why

    def test_an_empty_file_holds_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "empty").write_bytes(b"")
        assert list(import_atlas(tmp_path / "empty")) == []

    def test_a_missing_file_is_an_error_with_its_name(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"nowhere\.jsonl"):
            list(import_atlas(tmp_path / "nowhere.jsonl"))
