// @ts-check
// Dragging over a smoke chart asks the page for that stretch; + - [ ] follow the links that do the same without a script.

const LEAST_PX = 8;
const XML = "http://www.w3.org/2000/svg";

/** The stretch of time between two places on a chart, in the words of an address.
 * @param {DOMStringMap} data @param {number} from @param {number} to in shares of the chart's width */
export function span(data, from, to) {
  const start = Date.parse(data.start ?? ""), end = Date.parse(data.end ?? "");
  const at = (/** @type {number} */ share) => start + share * (end - start);
  const words = (/** @type {number} */ t) => `${new Date(t).toISOString().slice(0, 19)}Z`;
  return { start: words(at(Math.min(from, to))), end: words(at(Math.max(from, to))), ms: Math.abs(at(to) - at(from)) };
}

/** Where on the time axis the pointer is, from 0 to 1.
 * @param {Element} area @param {PointerEvent} event */
function place(area, event) {
  const box = area.getBoundingClientRect();
  return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
}

/** @param {PointerEvent} down */
function drag(down) {
  const svg = down.target instanceof Element ? down.target.closest("svg.smoke.draggable") : null;
  const words = svg?.querySelector(".words"), area = words?.querySelector(".area");
  if (!(svg instanceof SVGSVGElement) || !words || !area || down.button !== 0 || (down.target instanceof Element && down.target.closest("a"))) return;
  down.preventDefault();
  const from = place(area, down);
  const mark = document.createElementNS(XML, "rect");
  mark.setAttribute("class", "zoom-span"); mark.setAttribute("height", "100%");
  words.append(mark);
  const follow = (/** @type {PointerEvent} */ event) => {
    const to = place(area, event);
    mark.setAttribute("x", `${100 * Math.min(from, to)}%`); mark.setAttribute("width", `${100 * Math.abs(to - from)}%`);
  };
  const end = (/** @type {PointerEvent} */ event) => {
    removeEventListener("pointermove", follow); removeEventListener("pointerup", end); removeEventListener("pointercancel", end);
    mark.remove();
    const chosen = span(svg.dataset, from, place(area, event));
    if (event.type === "pointercancel" || Math.abs(event.clientX - down.clientX) < LEAST_PX || chosen.ms < 60_000) return;
    const url = new URL(location.href);
    url.searchParams.delete("w"); url.searchParams.set("start", chosen.start); url.searchParams.set("end", chosen.end);
    location.href = url.href;
  };
  addEventListener("pointermove", follow); addEventListener("pointerup", end); addEventListener("pointercancel", end);
}

const KEYS = { "+": "closer", "-": "wider", "[": "earlier", "]": "later" };

/** @param {KeyboardEvent} event */
function press(event) {
  const typing = event.target instanceof HTMLElement && (event.target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName));
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  const link = document.querySelector(`[data-zoom="${KEYS[/** @type {keyof typeof KEYS} */ (event.key)]}"]`);
  if (link instanceof HTMLAnchorElement) location.href = link.href;
}

/** Charts of pages that have a stretch of their own can be dragged over. */
function mark() {
  if (!document.querySelector("[data-zoom]") || !document.querySelector("svg.smoke")) return;
  for (const each of document.querySelectorAll("svg.smoke")) each.classList.add("draggable");
  for (const each of document.querySelectorAll(".drag")) each.removeAttribute("hidden");
}

export function setUpZoom() {
  mark();
  const main = document.getElementById("main");
  if (main) new MutationObserver(mark).observe(main, { childList: true });  // live pages replace what they show
  addEventListener("pointerdown", drag);
  addEventListener("keydown", press);
}
