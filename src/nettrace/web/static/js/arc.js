// @ts-check
// The map's arcs, live: a pair is drawn as its newest round says, by the bounds the server draws by.

/** @typedef {{ rtt_ms: number | null, outcome: string }} Told */

/** Measured over light in fibre, or null. @param {Element} place @param {Told} round */
export function stretch(place, round) {
  const fibre = Number(place.getAttribute("data-fibre"));
  return round.rtt_ms === null || !fibre ? null : round.rtt_ms / fibre;
}

/** @param {SVGElement} arc @param {Told} round */
function shade(arc, round) {
  if (round.outcome === "failed") return "failed";
  const ratio = stretch(arc, round);
  if (round.outcome !== "measured" || ratio === null) return "none";
  const bounds = (arc.ownerSVGElement?.dataset.bounds ?? "").split(" ").map((each) => each.split(":"));
  return bounds.find(([, bound]) => ratio < Number(bound))?.[0] ?? "beyond";
}

/** @param {SVGElement} arc @param {Told} round @param {string} words */
export function showArc(arc, round, words) {
  const drawn = `arc arc-${shade(arc, round)}`;
  if (arc.getAttribute("class") !== drawn) arc.setAttribute("class", drawn);
  const title = arc.querySelector("title");
  if (!title) return;
  const pair = (title.textContent ?? "").split(": ")[0];
  const rtt = round.outcome === "measured" && round.rtt_ms !== null ? `, ${round.rtt_ms.toFixed(2)} ms, light in fibre ${Number(arc.dataset.fibre).toFixed(1)} ms` : "";
  const told = `${pair}: ${words}${rtt}`;
  if (title.textContent !== told) title.textContent = told;
}
