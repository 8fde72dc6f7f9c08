"""A store in memory, just enough of the port for what stands before it: the order of calls is its journal."""

from types import SimpleNamespace

from nettrace.errors import NetTraceError
from nettrace.model.target import Lifecycle
from nettrace.model.vantage import VantageState
from nettrace.store.port import Accepted, EnrolToken, NodeRow
from nettrace.wire.frames import Record


class MemoryStore:
    """Writer and reader in one."""

    def __init__(self) -> None:
        self.journal: list[tuple] = []
        self.upto: dict[tuple[str, str], int] = {}
        self.entries: dict[str, list] = {}
        self.node_rows: dict[str, NodeRow] = {}
        self.tokens: dict[bytes, EnrolToken] = {}
        self.kept_targets: dict = {}
        self.kept_keys: dict = {}
        self.kept_settings: dict[str, bytes] = {}
        self.kept_requests: dict = {}
        self.answers: dict[str, list] = {}
        self.version = 1
        self.failing: NetTraceError | None = None
        self.poison: str | None = None
        self.closed = False

    def accept_all(self, reports, at, watcher=None):
        self.journal.append(("accept_all", [report.node for report in reports]))
        if self.failing is not None:
            raise self.failing
        if self.poison is not None and any(report.epoch == self.poison for report in reports):
            raise NetTraceError("poison")
        return [self._accept(report) for report in reports]

    def _accept(self, report):
        place = report.node, report.epoch
        upto = self.upto.get(place, 0)
        if report.first_seq > upto + 1:
            return Accepted(upto_seq=upto, new=())
        new = tuple(entry for entry in report.entries if entry.seq > upto)
        for entry in new:
            upto = getattr(entry, "last_seq", entry.seq)
        self.upto[place] = upto
        self.entries.setdefault(report.node, []).extend(new)
        return Accepted(upto_seq=upto, new=new)

    def heard(self, node, at, report, clock):
        self.journal.append(("heard", node))

    def put_targets(self, targets, at):
        self.kept_targets.update({target.host: target for target in targets})
        self.version += 1
        return self.version

    def drop_target(self, host, at):
        from msgspec.structs import replace

        return self.put_targets([replace(self.kept_targets[host], lifecycle=Lifecycle.RETIRED)], at)

    def put_key(self, key):
        self.kept_keys[key.id] = key

    def keys(self, account=None):
        return [key for key in self.kept_keys.values() if account in {None, key.account}]

    def put_token(self, token):
        self.tokens[token.hash] = token

    def enrol(self, token_hash, vantage, key, at):
        token = self.tokens.get(token_hash)
        if (
            token is None
            or token.used_at is not None
            or token.region != vantage.code
            or token.expires_at <= at
        ):
            return None
        self.tokens[token_hash] = EnrolToken(
            id=token.id, hash=token.hash, region=token.region, created_at=token.created_at,
            expires_at=token.expires_at, used_at=at,
        )  # fmt: skip
        self.node_rows[vantage.node] = NodeRow(vantage=vantage, key=key)
        self.version += 1
        return vantage

    def set_state(self, node, state: VantageState, at):
        from msgspec.structs import replace

        row = self.node_rows[node]
        self.node_rows[node] = NodeRow(vantage=replace(row.vantage, state=state), key=row.key)
        self.version += 1

    def put_setting(self, name, value, at):
        self.kept_settings[name] = value
        self.version += 1

    def put_request(self, request):
        self.journal.append(("put_request", request.id, str(request.state)))
        self.kept_requests[request.id] = request

    def maintain(self, now, budget_s=0.05):
        return False

    def close(self):
        self.closed = True

    def detector_state(self, prefix=""):
        return {}

    def head(self):
        return len(self.journal)

    def nodes(self):
        return list(self.node_rows.values())

    def targets(self):
        return list(self.kept_targets.values())

    def settings(self):
        return dict(self.kept_settings)

    def targets_version(self):
        return self.version

    def requests(self, *, account=None, limit=100):
        return list(reversed(self.kept_requests.values()))[:limit]

    def latest(self, since=0):
        made = (
            (self.node_rows[node].vantage.code, each) for node, new in self.entries.items() for each in new
        )
        return [
            SimpleNamespace(round=SimpleNamespace(due=each.due, series=SimpleNamespace(vantage=code)))
            for code, each in made
            if isinstance(each, Record)
        ]

    def request_rounds(self, request):
        return self.answers.get(request, [])
