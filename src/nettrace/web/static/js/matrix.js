// @ts-check
// Arrow keys move between the matrix's cells.
const table = document.getElementById("heat");
table?.addEventListener("keydown", (event) => {
  const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  const move = moves[/** @type {keyof typeof moves} */ (event.key)];
  const cell = event.target instanceof Element ? event.target.closest("td, th") : null;
  if (!move || !(cell instanceof HTMLTableCellElement)) return;
  const row = /** @type {HTMLTableRowElement} */ (cell.parentElement);
  const rows = [...table.querySelectorAll("tbody tr")];
  const next = rows[rows.indexOf(row) + move[0]];
  const link = next?.children[cell.cellIndex + move[1]]?.querySelector("a");
  if (link) { event.preventDefault(); link.focus(); }
});
