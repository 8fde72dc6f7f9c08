// @ts-check
// What every page does: colours, local time, keys, the palette. Pages work without any of it.
import { setUpLive } from "./live.js";
import { setUpPalette } from "./palette.js";
import { setUpPoll } from "./poll.js";
import { setUpZoom } from "./zoom.js";

const root = document.documentElement;

/** @param {string} name @param {string} value */
function remember(name, value) { try { localStorage.setItem(name, value); } catch { /* private mode */ } }
/** @param {string} name */
function remembered(name) { try { return localStorage.getItem(name); } catch { return null; } }

function setUpTheme() {
  const kept = remembered("theme");
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  document.getElementById("theme")?.addEventListener("click", () => {
    const order = ["", "dark", "light"];
    const next = order[(order.indexOf(root.dataset.theme ?? "") + 1) % order.length];
    if (next) root.dataset.theme = next; else delete root.dataset.theme;
    remember("theme", next);
  });
}

const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
/** @param {Date} d @param {boolean} local */
export function shown(d, local) {
  return local
    ? `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
    : d.toISOString().slice(0, 19).replace("T", " ");
}

function setUpClock() {
  const button = /** @type {HTMLButtonElement | null} */ (document.getElementById("time-zone"));
  if (!button) return;
  let local = remembered("zone") === "local";
  const draw = () => {
    button.textContent = local ? "show UTC" : "show local time";
    for (const each of document.querySelectorAll("time:not([title])")) each.textContent = shown(new Date(each.getAttribute("datetime") ?? ""), local);
  };
  button.hidden = false;
  button.addEventListener("click", () => { local = !local; remember("zone", local ? "local" : "utc"); draw(); });
  if (local) draw();
  const main = document.getElementById("main");
  if (main) new MutationObserver(() => { if (local) draw(); }).observe(main, { childList: true });
}

/** On a phone the bar is wider than the screen: where one is comes into sight. */
function setUpBar() {
  const bar = document.querySelector(".top nav");
  const here = bar?.querySelector("[aria-current]");
  if (bar && here instanceof HTMLElement) bar.scrollLeft += here.getBoundingClientRect().left - bar.getBoundingClientRect().left - (bar.clientWidth - here.offsetWidth) / 2;
}

setUpTheme();
setUpBar();
setUpClock();
setUpPalette();
setUpZoom();
setUpPoll();
setUpLive();
