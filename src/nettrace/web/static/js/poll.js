// @ts-check
// A page that waits for answers looks again each second; without scripts its link does.

const EVERY_MS = 1000;

async function look() {
  const main = document.getElementById("main");
  if (!main?.querySelector("[data-poll]")) return;
  if (!document.hidden && !main.querySelector(":popover-open") && !main.contains(document.activeElement === main ? null : document.activeElement)) {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      const fresh = answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main") : null;
      if (fresh) main.replaceChildren(...fresh.childNodes);
    } catch { /* asked again */ }
  }
  setTimeout(() => { void look(); }, EVERY_MS);
}

export function setUpPoll() { if (document.querySelector("[data-poll]")) setTimeout(() => { void look(); }, EVERY_MS); }
