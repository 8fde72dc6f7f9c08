// @ts-check
// Live numbers: one connection a page, one drawing a frame, and the page itself says when it is not live.

import { showArc, stretch } from "./arc.js";

const REFRESH_MS = 30_000;
const FRAME_MS = 6;
const MANY = 40;
const TOPICS = "round,route_change,signal,vantage";

/** @typedef {{ id?: string, at?: string, address?: string | null, region: string, host: string, endpoint: string, method: string, outcome: string, reason: string | null, rtt_ms: number | null, sent: number, received: number }} Round */

/** @type {Map<string, Round>} */
const waiting = new Map();
/** What shows each series. @type {Map<string, Element[]>} */
const places = new Map();
/** Rows in closed tables: drawn when somebody opens them. @type {Map<Element, Round>} */
const unseen = new Map();
/** Rounds that come while the page is loaded anew, which may not know them yet. @type {Map<string, Round> | null} */
let meanwhile = null;
let asked = false;
let behind = 0;
let planned = 0;

/** @param {string} state @param {string} words */
function say(state, words) {
  const mark = document.getElementById("live");
  document.body.classList.toggle("lost", state !== "on"); // what nobody refreshes looks like it
  if (mark && mark.dataset.state !== state) { mark.dataset.state = state; mark.textContent = words; }
}

/** @param {number | null} value */
export function milliseconds(value) {
  return value === null ? "—" : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

/** @param {Round} round */
export function words(round) {
  if (round.outcome === "measured") return "measured";
  return `${round.outcome === "failed" ? "no answer" : "not measured"}: ${round.reason ?? "unknown"}`;
}

/** @param {Element} row @param {Round} round */
function show(row, round) {
  if (row instanceof SVGElement) { showArc(row, round, words(round)); return; }
  const state = row.querySelector(".state");
  if (state) { state.className = `state ${round.outcome}`; state.textContent = words(round); }
  const number = row.querySelector("[data-rtt]");
  if (number && round.rtt_ms !== null) {
    number.firstChild?.replaceWith(milliseconds(round.rtt_ms));
    number.classList.remove("stale");
  } else number?.classList.add("stale");
  const answered = row.querySelector("[data-answered]");
  if (answered) answered.textContent = round.sent ? `${round.received}/${round.sent}` : "—";
  explain(row, round);
  const ratio = row.querySelector("[data-stretch]");
  if (ratio) ratio.textContent = stretch(row, round)?.toFixed(2) ?? "—";
  flash(row);
}

/** The (i) beside a number speaks of the round that is shown now. @param {Element} row @param {Round} round */
function explain(row, round) {
  const link = row.querySelector("[data-round]");
  const note = link?.closest(".note");
  if (!note || !(link instanceof HTMLAnchorElement) || !round.id || (round.rtt_ms === null && round.outcome !== "failed")) return;
  link.href = `/api/v1/rounds/${encodeURIComponent(round.id)}`;
  link.textContent = round.id;
  const told = [`${round.method} from ${round.region} to ${round.endpoint}${round.address ? `, ${round.address}` : ""}`, `${round.received} of ${round.sent} probes answered`, `measured ${(round.at ?? "").slice(0, 19).replace("T", " ")}: just now`];
  note.replaceChildren(...told.flatMap((words) => [words, document.createElement("br")]), "one round, no interval: ", link);
}

const still = matchMedia("(prefers-reduced-motion: reduce)");
const LIT = { backgroundColor: ["var(--smoke-near)", "transparent"] };

/** Lets a row light up, unless so many change that all of the page would. @param {Element} row */
function flash(row) {
  if (!still.matches && waiting.size < MANY) row.animate(LIT, { duration: 1200, easing: "ease-out" });
}

/** The elements of a series; all are looked up at once, until the page's content is replaced. @param {string} name */
function shownBy(name) {
  if (!places.size) for (const each of document.querySelectorAll("[data-series]")) {
    const key = each.getAttribute("data-series") ?? "";
    const same = places.get(key);
    if (same) same.push(each); else places.set(key, [each]);
  }
  return places.get(name) ?? [];
}

/** Draws what came in; what does not fit into a frame's share waits for the next one, where newer rounds replace it. */
function draw() {
  asked = false;
  const until = performance.now() + FRAME_MS;
  for (const [name, round] of waiting) {
    waiting.delete(name);
    for (const row of shownBy(name)) {
      if (row.closest("details:not([open])")) unseen.set(row, round); else show(row, round);
    }
    if (performance.now() > until) break;
  }
  if (waiting.size) ask();
}

function ask() {
  if (!asked) { asked = true; requestAnimationFrame(draw); }
}

/** @param {Round} round */
function take(round) {
  const name = `${round.host}/${round.region}/${round.endpoint}/${round.method}`;
  waiting.set(name, round);
  meanwhile?.set(name, round);
  ask();
}

/** Whether somebody is in the middle of something the page must not take away. */
function busy() {
  const main = document.getElementById("main");
  const at = document.activeElement;
  return document.hidden || !main || !!main.querySelector("details[open], :popover-open, .zoom-span") || (at !== main && main.contains(at)) || !!document.querySelector("dialog[open]") || !!getSelection()?.toString();
}

/** Where the whole of a page is that shows its worst first. */
function rest() {
  const part = document.querySelector("[data-rest]");
  return part instanceof HTMLElement ? part.dataset.rest : undefined;
}

async function refresh() {
  const main = document.getElementById("main");
  if (!main || busy()) return;
  meanwhile = new Map();
  try {
    const answer = await fetch(rest() ?? location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || busy()) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
    if (!fresh) return;
    main.replaceChildren(...fresh.childNodes);
    places.clear(); unseen.clear();
    for (const [name, round] of meanwhile) waiting.set(name, round);
    if (waiting.size) ask();
  } catch { /* the live mark says so already */ } finally { meanwhile = null; }
}

/** Once for all that happens within half a second: one cause makes many signals. */
function refreshSoon() { planned ||= setTimeout(() => { planned = 0; void refresh(); }, 500); }

export function setUpLive() {
  if (!document.body.dataset.live || !("EventSource" in window)) return;
  const host = document.body.dataset.host;
  const seq = document.body.dataset.seq; // where the page's own numbers end: the stream goes on from there
  const source = new EventSource(`/api/v1/stream?topics=${TOPICS}${seq ? `&after=${seq}` : ""}${host ? `&host=${encodeURIComponent(host)}` : ""}`);
  source.addEventListener("open", () => { say("on", "live"); behind = 0; });
  source.addEventListener("round", (event) => take(JSON.parse(event.data)));
  for (const name of ["route_change", "signal"]) source.addEventListener(name, refreshSoon);
  source.addEventListener("gap", refreshSoon);
  source.addEventListener("closed", () => { source.close(); say("lost", "signed out"); });
  source.addEventListener("error", () => {
    behind += 1;
    if (source.readyState === EventSource.CLOSED) say("off", "not live"); else say("lost", behind > 1 ? "connection lost, trying" : "reconnecting");
  });
  setInterval(() => { void refresh(); }, Number(document.body.dataset.refresh) || REFRESH_MS);
  if (document.querySelector("[data-rest]:not([data-whole])")) refreshSoon(); // once what is worst has been painted
  document.addEventListener("toggle", () => {
    for (const [row, round] of unseen) if (!row.closest("details:not([open])")) { unseen.delete(row); show(row, round); }
  }, true);
  addEventListener("pagehide", () => source.close());
}
