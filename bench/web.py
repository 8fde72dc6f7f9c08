"""`./dev bench web`: first paint on a slow line, script a frame under a thousand rounds a second, reply to pixel, memory.

A real headless Chromium (Playwright) on a hub of one writer and one worker. The page's own functions are timed inside
it: every listener and every frame callback is wrapped before the page's scripts run.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.emulator import Unavailable
from bench.figure import OURS, Column, Table, nearest_rank

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MAIN = {"overview": "/", "targets": "/targets", "target": "/t/h000.example", "pair": "/t/h000.example/from/lon",
        "matrix": "/matrix", "map": "/map", "events": "/events", "status": "/status"}  # fmt: skip
LINE = {"offline": False, "latency": 300, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 768e3 / 8}
"""WebPageTest's "3G": 1.6 Mbit/s down, 768 kbit/s up, 300 ms."""
RATE = 1000
HOUR = 60_000
RATES = (1, 10)
"""Rounds of an hour: a thousand pairs once a minute. At RATE an hour takes a minute."""

_TIMED = """
const told = window.told = { frames: [], delays: [], spent: 0 };
const timed = work => function (...given) {
  const began = performance.now();
  try { return work.apply(this, given); } finally { told.spent += performance.now() - began; }
};
const listen = EventTarget.prototype.addEventListener;
let stamps = [];
EventTarget.prototype.addEventListener = function (name, work, ...rest) {
  if (typeof work !== "function") return listen.call(this, name, work, ...rest);
  const ours = timed(work);
  const wrapped = this instanceof EventSource && name === "round"
    ? event => { ours.call(this, event); const round = JSON.parse(event.data); stamps.push(Date.parse(round.at)); }
    : ours;
  return listen.call(this, name, wrapped, ...rest);
};
const frame = window.requestAnimationFrame;
window.requestAnimationFrame = work => frame.call(window, now => {
  timed(work)(now);
  const drawn = Date.now();
  for (const stamp of stamps) told.delays.push(drawn - stamp);
  stamps = [];
});
const next = () => { told.frames.push(told.spent); told.spent = 0; frame.call(window, next); };
frame.call(window, next);
"""


def run(runs: int, quick: bool) -> list[Table]:
    """The figures; with --quick a quarter of an hour's rounds."""
    paint = Table(
        "Web: first contentful paint on a 3G line (1.6 Mbit/s, 300 ms), nothing cached",
        [Column(name, "ms", 1000) for name in MAIN],
    )
    live = Table(
        f"Web: the map with 1,000 pairs, {RATE} rounds a second",
        [
            Column("script a frame p95", "ms", 17), Column("p99", "ms"), Column("frames", "/s"),
            Column("handed over to DOM p50", "ms"), Column("to DOM p95", "ms", 400),
            Column("rounds shown", "%", 99, at_least=True), Column("heap after a hour", "% of before", 105),
        ],
        note="handed over: when a node's report reaches the writer; heap: after forced collection",
    )  # fmt: skip
    one = Table(
        "Web: one node's rounds at random moments, from the last reply to DOM",
        [
            Column(f"{rate} a second, {part}", "ms", goal)
            for rate in RATES
            for part, goal in (("p50", None), ("p95", 400))
        ],
        note="the node's spool and uplink, the hub, the stream and the page: everything from the reply on, on loopback",
    )
    with _browser() as browser, tempfile.TemporaryDirectory(prefix="nettrace-bench-") as name:
        from bench.web_feed import fill

        hub = _Hub(Path(name) / "hub", fill)
        try:
            for _ in range(runs):
                paint.add(OURS, _paints(browser, hub.url))
                live.add(OURS, _live(browser, hub, HOUR // (4 if quick else 1)))
                one.add(OURS, _replies(browser, hub, 10 if quick else 30))
        finally:
            hub.end()
    return [paint, live, one]


class _Hub:
    """Both processes on a filled folder."""

    def __init__(self, folder: Path, fill: Any) -> None:
        from tests.browser.served import Served

        fill(folder)
        self.folder = folder
        self._served = Served(folder)
        self.url = self._served.url
        self.end = self._served.end

    def feed(self, rate: float, seconds: float, *node: str) -> "subprocess.Popen[str]":
        """Rounds from a process of its own; through a node's spool and uplink when the hub's address is given."""
        words = [sys.executable, "-m", "bench.web_feed", str(self.folder), str(rate), str(seconds), *node]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


class _browser:  # noqa: N801 - reads as a function where it is used
    """A headless Chromium.

    Raises:
        Unavailable: Playwright or Chromium is not installed.
    """

    def __enter__(self) -> "Browser":
        program = shutil.which("chromium")
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise Unavailable("Playwright is not installed") from None
        if program is None:
            raise Unavailable("chromium is not installed: apt install chromium")
        self._playwright = sync_playwright().start()
        self._made = self._playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        return self._made

    def __exit__(self, *_: object) -> None:
        self._made.close()
        self._playwright.stop()


def _paints(browser: "Browser", url: str) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, path in MAIN.items():
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.send("Network.emulateNetworkConditions", LINE)
        page.goto(url + path, wait_until="load")
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        found[name] = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        context.close()
    return found


def _opened(browser: "Browser", url: str) -> "Page":
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(_TIMED)
    page.goto(url, wait_until="load")
    page.wait_for_selector("#live[data-state=on]")
    return page


def _live(browser: "Browser", hub: _Hub, rounds: int) -> dict[str, float | None]:
    page = _opened(browser, f"{hub.url}/map")
    devtools = page.context.new_cdp_session(page)
    hub.feed(RATE, 3).communicate(timeout=60)
    page.wait_for_timeout(1500)
    before = _heap(devtools)
    page.evaluate("told.frames.splice(0), told.delays.splice(0), 0")
    began = time.monotonic()
    with hub.feed(RATE, rounds / RATE) as feeding:
        sent = int(feeding.communicate(timeout=rounds / RATE + 60)[0])
    page.wait_for_timeout(1500)
    took = time.monotonic() - began
    told = page.evaluate("({ frames: told.frames.splice(0), delays: told.delays.splice(0) })")
    after = _heap(devtools)
    page.context.close()
    return {
        "script a frame p95": nearest_rank(told["frames"], 0.95), "p99": nearest_rank(told["frames"], 0.99),
        "frames": len(told["frames"]) / took, "handed over to DOM p50": nearest_rank(told["delays"], 0.5),
        "to DOM p95": nearest_rank(told["delays"], 0.95), "rounds shown": 100 * len(told["delays"]) / sent,
        "heap after a hour": 100 * after / before,
    }  # fmt: skip


def _heap(devtools: Any) -> float:
    for _ in range(3):
        devtools.send("HeapProfiler.collectGarbage")
    return float(devtools.send("Runtime.getHeapUsage")["usedSize"])


def _replies(browser: "Browser", hub: _Hub, seconds: float) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for rate in RATES:
        page = _opened(browser, f"{hub.url}/targets")
        with hub.feed(rate, seconds, hub.url) as feeding:
            feeding.communicate(timeout=seconds + 60)
        page.wait_for_timeout(1000)
        delays = page.evaluate("told.delays")
        page.context.close()
        for part, share in (("p50", 0.5), ("p95", 0.95)):
            found[f"{rate} a second, {part}"] = nearest_rank(delays, share)
    return found
