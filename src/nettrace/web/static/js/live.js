// @ts-check
// Live numbers: one connection a page, one drawing a frame, and the page itself says when it is not live.

import { showArc, stretch } from "./arc.js";

const REFRESH_MS = 30_000;
const TOPICS = "round,route_change,signal,vantage";

/** @typedef {{ region: string, host: string, endpoint: string, method: string, outcome: string, reason: string | null, rtt_ms: number | null, sent: number, received: number }} Round */

/** @type {Map<string, Round>} */
const waiting = new Map();
/** What shows each series, as far as it was asked for. @type {Map<string, Element[]>} */
const places = new Map();
let asked = false;
let behind = 0;

/** @param {string} state @param {string} words */
function say(state, words) {
  const mark = document.getElementById("live");
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
  const ratio = row.querySelector("[data-stretch]");
  if (ratio) ratio.textContent = stretch(row, round)?.toFixed(2) ?? "—";
  flash(row);
}

/** Lets a row light up; the animation begins anew without asking for a layout between. @param {Element} row */
function flash(row) {
  for (const each of row.getAnimations()) { each.currentTime = 0; }
  row.classList.add("flash");
}

/** The elements of a series; looked up once, until the page's content is replaced. @param {string} name */
function shownBy(name) {
  let found = places.get(name);
  if (!found) { found = [...document.querySelectorAll(`[data-series="${CSS.escape(name)}"]`)]; places.set(name, found); }
  return found;
}

function draw() {
  asked = false;
  for (const [name, round] of waiting) for (const row of shownBy(name)) show(row, round);
  waiting.clear();
}

/** @param {Round} round */
function take(round) {
  waiting.set(`${round.host}/${round.region}/${round.endpoint}/${round.method}`, round);
  if (!asked) { asked = true; requestAnimationFrame(draw); }
}

/** Whether somebody is in the middle of something the page must not take away. */
function busy() {
  const main = document.getElementById("main");
  const at = document.activeElement;
  return document.hidden || !main || !!main.querySelector("details[open]") || (at !== main && main.contains(at)) || !!document.querySelector("dialog[open]") || !!getSelection()?.toString();
}

async function refresh() {
  const main = document.getElementById("main");
  if (!main || busy()) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || busy()) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
    if (fresh) { main.replaceChildren(...fresh.childNodes); places.clear(); }
  } catch { /* the live mark says so already */ }
}

export function setUpLive() {
  if (!document.body.dataset.live || !("EventSource" in window)) return;
  const host = document.body.dataset.host;
  const seq = document.body.dataset.seq; // where the page's own numbers end: the stream goes on from there
  const source = new EventSource(`/api/v1/stream?topics=${TOPICS}${seq ? `&after=${seq}` : ""}${host ? `&host=${encodeURIComponent(host)}` : ""}`);
  source.addEventListener("open", () => { say("on", "live"); behind = 0; });
  source.addEventListener("round", (event) => take(JSON.parse(event.data)));
  for (const name of ["route_change", "signal"]) source.addEventListener(name, () => { void refresh(); });
  source.addEventListener("gap", () => { void refresh(); });
  source.addEventListener("closed", () => { source.close(); say("lost", "signed out"); });
  source.addEventListener("error", () => {
    behind += 1;
    if (source.readyState === EventSource.CLOSED) say("off", "not live"); else say("lost", behind > 1 ? "connection lost, trying" : "reconnecting");
  });
  setInterval(() => { void refresh(); }, REFRESH_MS);
  addEventListener("pagehide", () => source.close());
}
