"""Globalping: measurements from probes of its community, anonymous or with a token.

A test is one probe's part of a measurement. Published limits (November 2026): 250 tests an hour without a token, 500 with
one; `GET /v1/limits` is free and its word counts where it is smaller. Paid credits are never touched.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from nettrace.errors import NetTraceError, SourceError, Unreachable
from nettrace.model.instant import NS_PER_S
from nettrace.model.remote import Cost, Errand
from nettrace.outside.allowance import Mark, Window
from nettrace.outside.remote import Found, World, fingerprint, limit_of, public, refused
from nettrace.outside.rest import Reply, Rest
from nettrace.wire.globalping import Answer, Created, read_answer, read_created, read_limits
from nettrace.wire.globalping_request import request_body

ADDRESS = "https://api.globalping.io"
ANONYMOUS_TESTS = 250
TOKEN_TESTS = 500
WINDOW_S = 3600
LOOK_S = 0.5
PATIENCE_S = 60
REFUSALS = frozenset({400, 401, 403, 404, 413, 422, 429})
"""Answers that say that nothing was created."""


class Globalping:
    """A client of Globalping's API; one object may serve many errands."""

    def __init__(self, world: World, environ: Mapping[str, str]) -> None:
        """`environ`: NETTRACE_GLOBALPING_TOKEN, NETTRACE_GLOBALPING_TESTS_HOUR and NETTRACE_GLOBALPING_URL, each optional."""
        token = environ.get("NETTRACE_GLOBALPING_TOKEN") or None
        published = TOKEN_TESTS if token else ANONYMOUS_TESTS
        self._world = world
        self._rest = Rest(
            environ.get("NETTRACE_GLOBALPING_URL") or ADDRESS,
            {"Authorization": f"Bearer {token}"} if token else {},
        )
        self._window = Window(
            service="globalping", account=fingerprint(token), unit="tests", seconds=WINDOW_S,
            limit=limit_of(
                environ.get("NETTRACE_GLOBALPING_TESTS_HOUR"), "NETTRACE_GLOBALPING_TESTS_HOUR", published
            ),
        )  # fmt: skip

    def standing(self) -> Cost:
        """What is left, asked of the service too; asking is free."""
        mark = self._world.allowance.mark(self._window)
        reply = self._rest.get("/v1/limits")
        if reply.status != 200:
            raise refused("Globalping", reply, _wait(reply))
        _, remaining, reset = read_limits(reply.json())
        self._world.allowance.heard(self._window, remaining, reset or WINDOW_S, mark)
        return Cost(
            service="globalping", unit="tests", window_s=WINDOW_S, amount=0, limit=self._window.limit,
            left=self._world.allowance.left(self._window),
        )  # fmt: skip

    def cost(self, errand: Errand) -> Cost:
        """One test a probe at most."""
        public(errand.target)
        request_body(errand)
        return replace(self.standing(), amount=errand.most_results)

    def run(self, errand: Errand) -> Found:
        """Reserve, create, wait and read; what had not finished in a minute is `not_measured`.

        Raises:
            QuotaExceeded: by our ledger before anything was sent, or by the service.
            Invalid: the service does not take it, or has no such probe.
            Unreachable, SourceError: no answer, or one that cannot be read.
        """
        public(errand.target)
        body = request_body(errand)
        number = self._world.allowance.reserve(self._window, errand.most_results)
        created = self._create(body, number)
        answer, late = self._wait_for(created, errand)
        notes = [*answer.malformed, *late]
        if created.probes_count < errand.most_results:
            notes.append(f"{created.probes_count} of {errand.most_results} probes were to be had there")
        return Found(
            number=f"globalping:{created.id}", results=answer.results, taken=created.probes_count,
            notes=tuple(notes),
        )  # fmt: skip

    def _create(self, body: object, number: int) -> Created:
        """The measurement created, and what it took written down; released only when the service said it took none."""
        mark = self._world.allowance.mark(self._window, own=number)
        reply = self._rest.post("/v1/measurements", body)  # Unreachable keeps the reservation: nobody knows
        if reply.status in REFUSALS:
            self._world.allowance.release(number)
            self._hear(reply, mark)
            raise refused("Globalping", reply, _wait(reply))
        if reply.status != 202:
            raise Unreachable(f"Globalping answered {reply.words()} ({reply.status})", "Try again later")
        created = read_created(reply.json())
        self._world.allowance.settle(number, created.probes_count)
        self._hear(reply, mark)
        return created

    def _hear(self, reply: Reply, mark: Mark) -> None:
        remaining, reset = reply.number("X-RateLimit-Remaining"), reply.number("X-RateLimit-Reset")
        if reply.status == 429:
            remaining, reset = 0, _wait(reply) or 60
        if remaining is not None:
            self._world.allowance.heard(
                self._window, remaining, reset if reset is not None else WINDOW_S, mark
            )

    def _wait_for(self, created: Created, errand: Errand) -> tuple[Answer, list[str]]:
        """The finished answer, or the last one there was when patience ended; asked with its ETag, twice a second at most."""
        until = self._world.now() + PATIENCE_S * NS_PER_S
        etag: str | None = None
        answer: Answer | None = None
        problem: NetTraceError | None = None
        wait = LOOK_S
        while self._world.now() < until:
            self._world.sleep(wait)
            wait = LOOK_S
            try:
                reply = self._rest.get(
                    f"/v1/measurements/{created.id}", {"If-None-Match": etag} if etag else None
                )
                if reply.status == 304:
                    continue
                if reply.status == 200:
                    answer, problem = read_answer(reply.json(), errand), None
                    etag = reply.headers.get("etag")
                    if answer.finished:
                        return answer, []
                    continue
                problem = refused("Globalping", reply, _wait(reply))
                if (
                    reply.status not in {404, 429} and reply.status < 500
                ):  # 404: not yet on the replica that was asked
                    break
                wait = max(LOOK_S, float(min(_wait(reply) or 2, PATIENCE_S)))
            except (Unreachable, SourceError) as trouble:
                problem, wait = trouble, 2.0
        if answer is None:
            raise problem or Unreachable("Globalping did not say what became of the measurement", "Try again")
        late = [f"{answer.pending} probes had not finished after {PATIENCE_S} s"] if answer.pending else []
        return answer, late + ([problem.detail] if problem else [])


def _wait(reply: Reply) -> int | None:
    """How long the service asks us to stay away, in seconds."""
    return reply.number("Retry-After") or reply.number("X-RateLimit-Reset")
