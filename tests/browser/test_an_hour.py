"""A tab left open for an hour of live data is no larger at its end than when it had been open for six minutes.

The page's own modules run on a stand-in for the stream and for the clock: 3,600 ticks with 60 rounds each, of every series the page
shows among them, and the page's own look at the hub every 30 ticks, as fast as the browser takes them.
"""

import pytest
from playwright.sync_api import Browser, CDPSession
from tests.browser.conftest import opened
from tests.browser.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.alone]
TICKS, LOOK_EACH, PAIRS = 3600, 30, 60
A_ROUND = 1.0
"""Bytes that may be left of a round, on the average: one that is kept takes hundreds, code that is compiled late once 0.1 MB."""
DETACHED = 1.05
"""Nodes for an element of the page, beside what they were: whatever the page shows by then."""

STAND_IN = """
window.EventSource = class extends EventTarget {
  static CLOSED = 2;
  readyState = 1;
  constructor() { super(); window.stream = this; setTimeout(() => this.dispatchEvent(new Event("open"))); }
  close() {}
};
const queue = [];
window.requestAnimationFrame = work => queue.push(work);
const looks = [];
window.setInterval = work => looks.push(work);
const shown = () => [...new Set([...document.querySelectorAll("[data-series]")].map(each => each.dataset.series))];
const others = Array.from({ length: 60 }, (_, number) => `elsewhere-${number}.example/lon/gateway/tcp`);
window.hour = async (from, to, each, pairs) => {
  let asked = 0, under_way = 0;
  const fetched = window.fetch, later = work => new Promise(done => setTimeout(() => done(work?.()), 0));
  window.fetch = async (...given) => {
    asked += 1; under_way += 1;
    const over = () => { under_way -= 1; };
    const answer = await fetched(...given).catch(problem => { over(); throw problem; }), text = answer.text.bind(answer);
    if (answer.ok) answer.text = () => text().finally(over); else over(); // the page reads each good answer whole
    return answer;
  };
  const settled = async () => { do await later(); while (under_way); await later(); };
  for (let tick = from; tick < to; tick += 1) {
    for (const [number, name] of [...shown(), ...others].slice(0, pairs).entries()) {
      const [host, region, endpoint, method] = name.split("/");
      const rtt = 20 + (tick * 7919 + number * 104729) % 1000 / 10, failed = (tick + number) % 50 === 0;
      const at = new Date(Date.UTC(2026, 0, 1) + tick * 1000).toISOString();
      const round = { id: `ms_${tick}_${number}`, at, address: "198.18.0.1", region, host, endpoint, method, outcome: failed ? "failed" : "measured",
        reason: failed ? "timeout" : null, rtt_ms: failed ? null : rtt, sent: 5, received: failed ? 0 : 5 };
      stream.dispatchEvent(new MessageEvent("round", { data: JSON.stringify(round) }));
    }
    while (queue.length) queue.shift()(performance.now());
    if (tick % each === 0) { for (const look of looks) look(); await settled(); }
  }
  await settled();
  while (queue.length) queue.shift()(performance.now());
  window.fetch = fetched;
  return asked;
};
"""
COUNT = "document.querySelectorAll('*').length"


def left(devtools: CDPSession, elements: int) -> dict[str, float]:
    """Bytes, nodes and listeners that are still reachable after a forced collection."""
    for _ in range(3):
        devtools.send("HeapProfiler.collectGarbage")
    told = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    return {
        "bytes": told["JSHeapUsedSize"],
        "nodes": told["Nodes"],
        "listeners": told["JSEventListeners"],
        "elements": elements,
    }


@pytest.mark.parametrize("path", ["/", "/targets", "/map", "/matrix"])
def test_an_hour_of_live_data_leaves_a_tab_as_it_was(chromium: Browser, alone: Served, path: str) -> None:
    one = opened(chromium, alone.url)
    one.page.add_init_script(STAND_IN)
    one.go(path)
    devtools = one.page.context.new_cdp_session(one.page)
    devtools.send("Performance.enable")
    hour = "given => window.hour(...given)"
    first = TICKS // 10
    one.page.evaluate(hour, [0, first, LOOK_EACH, PAIRS])
    before = left(devtools, one.page.evaluate(COUNT))
    looked = one.page.evaluate(hour, [first, TICKS, LOOK_EACH, PAIRS])
    after = left(devtools, one.page.evaluate(COUNT))
    print(path, looked, before, after)  # noqa: T201 - shown by -rP
    assert looked >= (TICKS - first) // LOOK_EACH, "the page looked at the hub again and again"
    assert after["bytes"] - before["bytes"] <= A_ROUND * (TICKS - first) * PAIRS, (before, after)
    assert after["nodes"] / after["elements"] <= DETACHED * before["nodes"] / before["elements"], (
        before,
        after,
    )
    assert after["listeners"] <= before["listeners"], (before, after)
    assert not one.complaints
    one.page.context.close()
