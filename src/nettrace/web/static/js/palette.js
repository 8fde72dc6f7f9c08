// @ts-check
// Ctrl-K finds targets, vantages and pages; `?` shows the keys; `g` and a letter go to a page.

const PLACES = { o: "/", t: "/targets", m: "/matrix", w: "/map", l: "/leaderboard", c: "/compare", e: "/events", i: "/signals", f: "/fleet", s: "/status", p: "/playground", a: "/account" };

/** @typedef {{ words: string, hint: string, href: string }} Entry */

/** @returns {Promise<Entry[]>} */
async function entries() {
  const pages = [...document.querySelectorAll(".top nav a")].map((a) => ({ words: a.textContent ?? "", hint: "page", href: a.getAttribute("href") ?? "/" }));
  try {
    const answer = await fetch("/palette.json", { headers: { accept: "application/json" } });
    return answer.ok ? [...pages, ...(await answer.json())] : pages;
  } catch { return pages; }
}

/** @param {string} typed @param {Entry} entry */
function fits(typed, entry) {
  const text = `${entry.words} ${entry.hint}`.toLowerCase();
  return typed.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

export function setUpPalette() {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById("palette"));
  const keys = /** @type {HTMLDialogElement | null} */ (document.getElementById("keys"));
  if (!dialog || !keys) return;
  /** @type {Entry[]} */ let all = [];
  /** @type {Entry[]} */ let found = [];
  let chosen = 0;
  const input = document.createElement("input");
  input.type = "text"; input.placeholder = "Target, vantage or page";
  input.setAttribute("role", "combobox"); input.setAttribute("aria-controls", "palette-list"); input.setAttribute("aria-expanded", "true");
  input.setAttribute("aria-label", "Find a target, vantage or page");
  const list = document.createElement("ul");
  list.id = "palette-list"; list.setAttribute("role", "listbox"); list.setAttribute("aria-label", "Found");
  dialog.append(input, list);

  const draw = () => {
    found = all.filter((entry) => fits(input.value, entry)).slice(0, 50);
    chosen = Math.min(chosen, Math.max(0, found.length - 1));
    list.replaceChildren(...found.map((entry, index) => {
      const item = document.createElement("li");
      item.id = `palette-${index}`; item.setAttribute("role", "option"); item.setAttribute("aria-selected", String(index === chosen));
      const words = document.createElement("span"); words.textContent = entry.words;
      const hint = document.createElement("span"); hint.textContent = entry.hint; hint.className = "small";
      item.append(words, hint);
      item.addEventListener("click", () => { location.href = entry.href; });
      return item;
    }));
    if (found.length) input.setAttribute("aria-activedescendant", `palette-${chosen}`); else input.removeAttribute("aria-activedescendant");
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
  };
  const open = async () => {
    if (dialog.open) return;
    input.value = ""; chosen = 0; dialog.showModal(); input.focus();
    if (!all.length) all = await entries();
    draw();
  };
  input.addEventListener("input", () => { chosen = 0; draw(); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : found.length - 1)) % Math.max(1, found.length);
      draw();
    } else if (event.key === "Enter" && found[chosen]) location.href = found[chosen].href;
  });
  document.getElementById("open-palette")?.addEventListener("click", () => { void open(); });

  const title = document.createElement("h2");
  title.textContent = "Keys";
  const rows = document.createElement("dl");
  for (const [key, words] of [["Ctrl K or /", "find"], ["?", "this list"], ["+ −", "a closer or a wider stretch of time"], ["[ ]", "earlier, later"], ["drag", "over a chart: that stretch"], ["arrows", "between the cells of the matrix"], ...Object.entries(PLACES).map(([key, path]) => [`g ${key}`, path]), ["Esc", "close"]]) {
    const term = document.createElement("dt"); const mark = document.createElement("kbd"); mark.textContent = key; term.append(mark);
    const meaning = document.createElement("dd"); meaning.textContent = words;
    rows.append(term, meaning);
  }
  keys.append(title, rows);

  let went = 0;
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLElement && (event.target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName));
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); void open(); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); void open(); } else if (event.key === "?") keys.showModal();
    else if (event.key === "g") went = Date.now();
    else if (Date.now() - went < 1500 && event.key in PLACES) location.href = PLACES[/** @type {keyof typeof PLACES} */ (event.key)];
  });
}
