"""STAMP packets: the octets of RFC 8762's figures, and what three other implementations put on the wire."""

import pytest

from nettrace.errors import BadSeal, Truncated
from nettrace.measure.packets.stamp import (
    PLAIN_BYTES,
    SEALED_BYTES,
    TLV_PADDING,
    UNRECOGNISED,
    UNSEALED,
    ErrorEstimate,
    FollowUp,
    Reply,
    Request,
    Tlv,
    answered_follow_up,
    build_reply,
    build_request,
    follow_up_in,
    instant_of,
    ntp_stamp,
    parse_reply,
    parse_request,
)

KEY = b"a key of both ends, 32 octets..."
MILLISECOND = ErrorEstimate(1_007_080, synchronised=True)
NEAR = 1_795_000_000_000_000_000

# Captured on a loopback: nokia/twampy 885b986 (BSD-3), domoslabs/twamp-light 8b2911e, scapy 2.8.0 contrib.stamp.
TWAMPY_SENDER = "00000001eeab6d7672dde7ff3fff" + "00" * 30
TWAMPY_RESPONDER = (
    "00000000eeab6d77769323ff00010000eeab6d77769323ff00000007eb1122334455667f8f840000000000000000"
)
DOMOS_SERVER = "00000007eb1122334455667f80010000eeab6d7878419db700000007eeab6d787843f5df8f84000040000000"
SCAPY_SENDER = "000000056553f100400000008f841234" + "00" * 28
SCAPY_REFLECTOR = "000000036553f100c00000008f8412346553f10080000000000000056553f1004000000042090000fa000000"
# Authenticated mode: XilongYang/STAMP 2341f15 (MIT, C++ with a SHA-256 of its own), under the key of sixteen octets.
XILONG_KEY = b"a key of sixteen"
XILONG_SENDER = (
    "00000001" + "00" * 12 + "e756a57ed8d2ec020001" + "00" * 70 + "0a94a62ebf86aa167d7becc7236beebe"
)
XILONG_REFLECTOR = (
    "00000001" + "00" * 12 + "e756a57f595110060001" + "00" * 6 + "e756a57f59510f19" + "00" * 8
    + "00000009" + "00" * 12 + "eb1122334455667f8f84" + "00" * 6 + "40" + "00" * 15 + "8643e31b01496a606e9fd6670e874d7f"
)  # fmt: skip


def test_what_twampy_sends_and_answers_is_read():
    asked = parse_request(bytes.fromhex(TWAMPY_SENDER))
    assert (asked.number, asked.session, asked.estimate.synchronised) == (1, 0, False)
    assert abs(instant_of(asked.sent, NEAR) - NEAR) < 10**15  # it was the autumn of 2026
    told = parse_reply(bytes.fromhex(TWAMPY_RESPONDER))
    assert (told.number, told.request_number, told.request_sent) == (0, 7, 0xEB1122334455667F)
    assert told.request_estimate == MILLISECOND
    assert told.left == told.arrived


def test_what_a_twamp_light_server_answers_is_read():
    told = parse_reply(bytes.fromhex(DOMOS_SERVER))
    assert (told.number, told.request_number, told.request_ttl, told.session) == (7, 7, 64, 0)
    assert told.request_estimate == MILLISECOND
    assert told.estimate.synchronised


def test_we_write_and_read_the_octets_scapy_does():
    sent, arrived, left = (0x6553F100 << 32 | fraction << 30 for fraction in (1, 2, 3))
    request = Request(number=5, sent=sent, estimate=MILLISECOND, session=0x1234)
    assert build_request(request).hex() == SCAPY_SENDER
    assert parse_request(bytes.fromhex(SCAPY_SENDER)) == request
    reply = Reply(
        number=3, left=left, estimate=MILLISECOND, arrived=arrived, request_number=5, request_sent=sent,
        request_estimate=ErrorEstimate(8, synchronised=False, ptp=True), request_ttl=250, session=0x1234,
    )  # fmt: skip
    assert parse_reply(bytes.fromhex(SCAPY_REFLECTOR)) == reply
    assert build_reply(reply).hex()[:72] == SCAPY_REFLECTOR[:72]


def test_an_authenticated_packet_lies_as_in_the_figures_of_the_rfc():
    """RFC 8762, figures 4 and 6, and 4.4: HMAC-SHA-256 over the first six blocks, its first 16 octets at 96."""
    import hashlib
    import hmac

    request = Request(number=0x01020304, sent=0x1112131415161718, estimate=MILLISECOND, session=0x2122)
    data = build_request(request, KEY)
    assert data[:4].hex() == "01020304" and data[4:16] == bytes(12)
    assert (
        data[16:24].hex() == "1112131415161718"
        and data[24:28].hex() == "8f842122"
        and data[28:96] == bytes(68)
    )
    assert data[96:] == hmac.new(KEY, data[:96], hashlib.sha256).digest()[:16]
    reply = Reply(
        number=1, left=2, estimate=MILLISECOND, arrived=3, request_number=0x01020304, request_sent=4,
        request_estimate=MILLISECOND, request_ttl=5, session=0x2122,
    )  # fmt: skip
    data = build_reply(reply, KEY)
    assert (len(data), data[3], data[23], data[24:28].hex(), data[39]) == (112, 1, 2, "8f842122", 3)
    assert (data[48:52].hex(), data[71], data[72:74].hex(), data[80]) == ("01020304", 4, "8f84", 5)
    assert parse_reply(data, KEY) == reply


def test_what_another_implementation_seals_is_read_and_what_was_changed_under_its_seal_is_not():
    asked = parse_request(bytes.fromhex(XILONG_SENDER), XILONG_KEY)
    assert (asked.number, asked.sent >> 32, asked.estimate.synchronised) == (1, 0xE756A57E, False)
    told = parse_reply(bytes.fromhex(XILONG_REFLECTOR), XILONG_KEY)
    assert (told.number, told.request_number, told.request_sent) == (1, 9, 0xEB1122334455667F)
    assert (told.request_estimate, told.request_ttl) == (MILLISECOND, 64)
    assert 0 < told.left - told.arrived < 2**32
    for hexed, parse in ((XILONG_SENDER, parse_request), (XILONG_REFLECTOR, parse_reply)):
        for place in range(SEALED_BYTES):
            data = bytearray(bytes.fromhex(hexed))
            data[place] ^= 1
            with pytest.raises(BadSeal):
                parse(bytes(data), XILONG_KEY)


@pytest.mark.parametrize("place", [0, 17, 24, 40, 95, 96, 111])
def test_a_packet_changed_anywhere_or_sealed_with_another_key_is_refused(place):
    data = bytearray(build_request(Request(number=1, sent=2, estimate=MILLISECOND), KEY))
    with pytest.raises(BadSeal):
        parse_request(bytes(data), b"another key of thirty-two octets")
    data[place] ^= 1
    with pytest.raises(BadSeal):
        parse_request(bytes(data), KEY)


@pytest.mark.parametrize(("key", "least"), [(None, PLAIN_BYTES), (KEY, SEALED_BYTES)])
def test_a_packet_cut_short_is_no_packet(key, least):
    data = build_request(Request(number=1, sent=2, estimate=MILLISECOND), key)
    assert len(data) == least
    for length in range(least):
        with pytest.raises(Truncated):
            parse_request(data[:length], key)


def test_extensions_are_sealed_too_and_say_so_when_their_seal_does_not_hold():
    padding = Tlv(UNRECOGNISED, TLV_PADDING, bytes(4))
    data = build_request(Request(number=9, sent=2, estimate=MILLISECOND, tlvs=(padding,)), KEY)
    assert parse_request(data, KEY).tlvs == (padding,)
    changed = data[: SEALED_BYTES + 5] + b"\xff" + data[SEALED_BYTES + 6 :]
    assert all(each.flags & UNSEALED for each in parse_request(changed, KEY).tlvs)


def test_a_follow_up_is_read_only_where_the_reflector_gave_one():
    assert follow_up_in((answered_follow_up(FollowUp(3, 77)),)) == FollowUp(3, 77)
    assert follow_up_in((answered_follow_up(None),)) is None
    unknown = answered_follow_up(FollowUp(3, 77))
    assert follow_up_in((Tlv(UNRECOGNISED, unknown.kind, unknown.value),)) is None


def test_a_time_stamp_survives_the_end_of_its_era():
    """NTP seconds wrap on 7 February 2036 (RFC 5905, 6)."""
    wraps = (1 << 32) - 2_208_988_800
    for at in (wraps * 10**9 - 1, wraps * 10**9, wraps * 10**9 + 123_456_789):
        assert instant_of(ntp_stamp(at), near=at + 3600 * 10**9) == at
