"""STAMP under hypothesis: what is built comes back, parsers raise PacketError or nothing, no reply outgrows its request."""

from hypothesis import given
from hypothesis import strategies as st

from nettrace.errors import PacketError
from nettrace.measure.packets import stamp
from nettrace.measure.packets.stamp import ErrorEstimate, Reply, Request, Tlv
from nettrace.measure.tracing.reflection import Peer, Reflection

KEY = b"a key of both ends, 32 octets..."
keys = st.sampled_from([None, KEY])
estimates = st.builds(
    lambda scale, multiplier, kept, ptp: stamp.unpack_estimate(kept << 15 | ptp << 14 | scale << 8 | multiplier),
    st.integers(0, 20), st.integers(128, 255), st.booleans(), st.booleans(),
)  # fmt: skip
stamps = st.integers(0, 2**64 - 1)
numbers = st.integers(0, 2**32 - 1)
tlvs = st.lists(
    st.builds(Tlv, st.sampled_from([0, 0x80]), st.sampled_from([1, 2, 3, 7, 99]), st.binary(max_size=24)),
    max_size=4,
).map(tuple)
requests = st.builds(
    Request, number=numbers, sent=stamps, estimate=estimates, session=st.integers(0, 65_535), tlvs=tlvs
)  # fmt: skip
replies = st.builds(
    Reply, number=numbers, left=stamps, estimate=estimates, arrived=stamps, request_number=numbers, request_sent=stamps,
    request_estimate=estimates, request_ttl=st.integers(0, 255), session=st.integers(0, 65_535), tlvs=tlvs,
)  # fmt: skip


@given(requests, replies, keys)
def test_what_is_built_comes_back(request, reply, key):
    again = stamp.parse_request(stamp.build_request(request, key), key)
    assert (again.number, again.sent, again.session, again.tlvs) == (
        request.number,
        request.sent,
        request.session,
        request.tlvs,
    )
    told = stamp.parse_reply(stamp.build_reply(reply, key), key)
    assert (told.left, told.arrived, told.request_sent, told.tlvs) == (
        reply.left,
        reply.arrived,
        reply.request_sent,
        reply.tlvs,
    )


@given(st.one_of(st.binary(max_size=200), requests.map(stamp.build_request)), keys, st.data())
def test_arbitrary_octets_raise_nothing_but_packet_errors(data, key, more):
    cut = data[: more.draw(st.integers(0, len(data)))] + more.draw(st.binary(max_size=30))
    for parse in (stamp.parse_request, stamp.parse_reply):
        try:
            parse(cut, key)
        except PacketError:
            continue


@given(st.integers(1, 10**15))
def test_an_error_estimate_never_understates_and_hardly_overstates(error_ns):
    told = stamp.unpack_estimate(stamp.pack_estimate(ErrorEstimate(error_ns, synchronised=True)))
    assert told.error_ns is not None
    assert error_ns <= told.error_ns <= error_ns * (1 + 1 / 64) + 2


@given(st.integers(-(2**31) * 10**9, 4 * 2**32 * 10**9), st.integers(-(10**18), 10**18))
def test_a_time_stamp_comes_back_to_the_nanosecond(at, away):
    assert stamp.instant_of(stamp.ntp_stamp(at), near=at + away) == at


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=160),
            requests.map(lambda each: stamp.build_request(each, KEY)),
            requests.map(stamp.build_request),
        ),
        max_size=20,
    )
)
def test_no_reply_is_longer_than_its_request_and_none_goes_to_strangers(packets):
    reflection = Reflection(
        [Peer(name="sealed", key=KEY, networks=("10.0.0.0/8",)), Peer(name="open", networks=("192.0.2.7",))]
    )
    clock = (10**18, ErrorEstimate(1000, synchronised=True))
    for data in packets:
        for address in ("10.1.2.3", "192.0.2.7", "198.51.100.1"):
            answer = reflection.answer(data, (address, 5000), 10**18, 60, clock)
            assert answer is None or (len(answer.data) <= len(data) and address != "198.51.100.1")
