"""The tables of `hub.sqlite`, their version, and the numbers that stand for words in them.

Times: `due`, `since`, `at` ... are UTC ns. In `round`, `begun` is in whole us after `due` and `stored` in whole ms
after it, both counted from `due` cut to that unit; see `begun_at` and `stored_at`. `slot` counts quarters of an hour
since 1970 (`due` // `SLOT_NS`) and leads the key of `round`: what comes in at one time lies together, whatever series
it is of, so that a batch changes few pages. `day` counts UTC days since 1970;
`min_ns` and `max_ns` of a round are NULL where its samples tell them (`samples.beside`).
`start` and `step` of a rollup are seconds. Small sets of words are numbers by their place in the tuples below, to
which new words may only be appended. NULL is "not measured" everywhere.

Who writes what: the writer fills everything but `rollup`, `segment` and `dirty`'s taking away. `dirty` names each
(hour, series) into which a round was stored since its rollups were made: one row an hour and series, not one a round.
Whoever makes rollups or seals a day takes its rows away in the transaction that stores the outcome.
"""

from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.model.measurement import Clock, Outcome, Reason

DATABASE = "hub.sqlite"
SEGMENTS = "segments"
LOCK = "hub.lock"
"""Names in a data folder."""

NS_PER_US = 1_000
NS_PER_HOUR = 3_600 * 10**9
NS_PER_DAY = 86_400 * 10**9
SLOT_NS = 900 * 10**9
"""How long the rounds are due that lie together in `round`; a UTC day is 96 of them."""

APPLICATION_ID = 0x4E745472
"""`PRAGMA application_id`: says that a file is a hub's (`NtTr`)."""

OUTCOMES = (Outcome.MEASURED, Outcome.FAILED, Outcome.NOT_MEASURED)
REASONS = (
    Reason.TIMEOUT, Reason.UNREACHABLE, Reason.REFUSED, Reason.DNS, Reason.TLS, Reason.HTTP, Reason.BLOCKED,
    Reason.NOT_PERMITTED, Reason.NOT_SCHEDULED, Reason.VANTAGE_DOWN, Reason.ABORTED,
)  # fmt: skip
CLOCKS = (Clock.KERNEL, Clock.MIXED, Clock.USER)
STAGES = ("dns", "connect", "tls", "ttfb", "total")
OUTCOME_CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}
REASON_CODE = {reason: code for code, reason in enumerate(REASONS)}
CLOCK_CODE = {clock: code for code, clock in enumerate(CLOCKS)}

ROUND_COLUMNS = (
    "series", "due", "begun", "stored", "outcome", "reason", "address", "sent", "received", "not_measured",
    "rtt_ns", "min_ns", "max_ns", "error_ns", "grade", "samples", "stages", "status", "tls", "route", "hop_count",
    "clock", "request", "hints",
)  # fmt: skip
"""The columns of `round` behind `slot`, in their order: `rounds.Row` has the same fields. New ones come last."""

VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

CREATE TABLE series (
  id INTEGER PRIMARY KEY, vantage TEXT NOT NULL, target TEXT NOT NULL, endpoint TEXT NOT NULL, method TEXT NOT NULL,
  interval_s REAL NOT NULL DEFAULT 60, UNIQUE (target, vantage, endpoint, method)) STRICT;
CREATE TABLE address (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE route (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, hops BLOB, as_path BLOB) STRICT;

CREATE TABLE round (
  series INTEGER NOT NULL, due INTEGER NOT NULL, begun INTEGER NOT NULL, stored INTEGER NOT NULL,
  outcome INTEGER NOT NULL, reason INTEGER, address INTEGER,
  sent INTEGER NOT NULL, received INTEGER NOT NULL, not_measured INTEGER NOT NULL,
  rtt_ns INTEGER, min_ns INTEGER, max_ns INTEGER, error_ns INTEGER, grade TEXT, samples BLOB, stages BLOB,
  status INTEGER, tls TEXT, route INTEGER, hop_count INTEGER, clock INTEGER, request TEXT,
  PRIMARY KEY (series, due)) STRICT, WITHOUT ROWID;
CREATE INDEX round_request ON round (request) WHERE request IS NOT NULL;

CREATE TABLE trace (
  series INTEGER NOT NULL, due INTEGER NOT NULL, stored_at INTEGER NOT NULL, route INTEGER, body BLOB NOT NULL,
  PRIMARY KEY (series, due)) STRICT;
CREATE TABLE latest (
  series INTEGER PRIMARY KEY, seq INTEGER NOT NULL, due INTEGER NOT NULL, round BLOB NOT NULL,
  measured BLOB) STRICT;
CREATE TABLE live (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL, series INTEGER, due INTEGER,
  target TEXT, vantage TEXT, account TEXT, body BLOB) STRICT;
CREATE TABLE route_state (
  series INTEGER NOT NULL, since INTEGER NOT NULL, route INTEGER NOT NULL, until INTEGER,
  PRIMARY KEY (series, since)) STRICT, WITHOUT ROWID;
CREATE TABLE event (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL, detected_at INTEGER NOT NULL, series INTEGER,
  target TEXT, vantage TEXT, severity TEXT NOT NULL, confidence REAL, body BLOB NOT NULL,
  stored_at INTEGER NOT NULL) STRICT;
CREATE INDEX event_detected ON event (detected_at, id);
CREATE TABLE gap (
  id INTEGER PRIMARY KEY, vantage TEXT NOT NULL, node TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, reason TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
  stored_at INTEGER NOT NULL) STRICT;
CREATE INDEX gap_since ON gap (since);
CREATE TABLE progress (
  node TEXT NOT NULL, epoch TEXT NOT NULL, upto INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (node, epoch)) STRICT, WITHOUT ROWID;
CREATE TABLE pool (
  vantage TEXT NOT NULL, target TEXT NOT NULL, endpoint TEXT NOT NULL, addresses TEXT NOT NULL,
  PRIMARY KEY (vantage, target, endpoint)) STRICT, WITHOUT ROWID;

CREATE TABLE dirty (
  hour INTEGER NOT NULL, series INTEGER NOT NULL, PRIMARY KEY (hour, series)) STRICT, WITHOUT ROWID;
CREATE TABLE rollup (
  series INTEGER NOT NULL, step INTEGER NOT NULL, start INTEGER NOT NULL, rounds INTEGER NOT NULL,
  measured INTEGER NOT NULL, failed INTEGER NOT NULL, not_measured INTEGER NOT NULL,
  sent INTEGER NOT NULL, received INTEGER NOT NULL, min_ns INTEGER, max_ns INTEGER, sum_ns INTEGER NOT NULL,
  sketch BLOB, PRIMARY KEY (series, step, start)) STRICT, WITHOUT ROWID;
CREATE TABLE segment (
  file TEXT PRIMARY KEY, day INTEGER NOT NULL, rows INTEGER NOT NULL, min_due INTEGER NOT NULL,
  max_due INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, state TEXT NOT NULL,
  sealed_at INTEGER NOT NULL, retired_at INTEGER) STRICT;
CREATE INDEX segment_day ON segment (day);

CREATE TABLE target (host TEXT PRIMARY KEY, account TEXT, body BLOB NOT NULL, changed_at INTEGER NOT NULL) STRICT;
CREATE TABLE node (
  id TEXT PRIMARY KEY, code TEXT NOT NULL, key BLOB NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX node_code ON node (code);
CREATE TABLE token (
  id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, region TEXT NOT NULL, created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL, used_at INTEGER) STRICT;
CREATE TABLE key (id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, account TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX key_account ON key (account);
CREATE TABLE request (
  id TEXT PRIMARY KEY, account TEXT NOT NULL, created_at INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX request_created ON request (created_at);
CREATE TABLE export (
  id TEXT PRIMARY KEY, account TEXT NOT NULL, created_at INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX export_created ON export (created_at);
CREATE TABLE audit (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
  outcome TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL, changed_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE detector_state (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

INSERT INTO meta VALUES ('targets_version', 1), ('live_head', 0);
"""

VERSION_2 = """
CREATE TABLE incident (
  id TEXT PRIMARY KEY, state TEXT NOT NULL, opened_at INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX incident_opened ON incident (opened_at);
CREATE TABLE delivery (
  id TEXT PRIMARY KEY, channel TEXT NOT NULL, incident TEXT NOT NULL, state TEXT NOT NULL, created_at INTEGER NOT NULL,
  body BLOB NOT NULL) STRICT;
CREATE INDEX delivery_created ON delivery (created_at);
CREATE INDEX delivery_pending ON delivery (created_at) WHERE state = 'pending';
CREATE TABLE alert_order (number INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL) STRICT;
CREATE TABLE alert_state (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""

VERSION_3 = """
CREATE TABLE round_by_slot (
  slot INTEGER NOT NULL, series INTEGER NOT NULL, due INTEGER NOT NULL, begun INTEGER NOT NULL, stored INTEGER NOT NULL,
  outcome INTEGER NOT NULL, reason INTEGER, address INTEGER,
  sent INTEGER NOT NULL, received INTEGER NOT NULL, not_measured INTEGER NOT NULL,
  rtt_ns INTEGER, min_ns INTEGER, max_ns INTEGER, error_ns INTEGER, grade TEXT, samples BLOB, stages BLOB,
  status INTEGER, tls TEXT, route INTEGER, hop_count INTEGER, clock INTEGER, request TEXT, hints TEXT,
  PRIMARY KEY (slot, series, due)) STRICT, WITHOUT ROWID;
INSERT INTO round_by_slot SELECT due / 900000000000, round.*, NULL FROM round;
DROP TABLE round;
ALTER TABLE round_by_slot RENAME TO round;
CREATE INDEX round_request ON round (request) WHERE request IS NOT NULL;
CREATE TABLE sheet (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
"""

VERSION_4 = "-- The tables stay. An older program would misread what is written into them: sheets, and rows without min_ns and max_ns."

VERSION_5 = "ALTER TABLE gap ADD COLUMN target TEXT NOT NULL DEFAULT '';"

VERSION_6 = (
    "-- The tables stay. An older program would misread sheets with answers, and look for days in rows alone."
)

MIGRATIONS: tuple[str, ...] = (VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6)
"""Number n (from 1) leads from version n-1 to n. Written once, never changed, only appended to."""

VERSION = len(MIGRATIONS)


def begun_at(due: Instant, begun: int) -> Instant:
    """When a round began, in whole us, from its row."""
    return (due // NS_PER_US + begun) * NS_PER_US


def stored_at(due: Instant, stored: int) -> Instant:
    """When the hub committed a round, in whole ms, from its row.

    >>> stored_at(5_000_400_000, 7)
    5007000000
    """
    return (due // NS_PER_MS + stored) * NS_PER_MS
