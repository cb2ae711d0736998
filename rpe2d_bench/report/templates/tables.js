
// Tables: a header sorts its column (up, down, as it was); `copy` takes the table away, tab-separated.
{
  const UNITS = { ms: 1e-3, s: 1, min: 60, h: 3600, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
  const NUMBER = /^([−-]?)(∞|\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s*(ms|min|[shkMGT])(?![a-z]))?/;
  const ABSENT = ["", "–", "missing", "failed", "NaN"];
  const tables = all("table:not(.images)");

  const head = (cell) => [...(cell.querySelector(".sort") || cell).childNodes].map((n) => (n.tagName === "SMALL" ? `(${n.textContent})` : n.textContent)).join(" ").trim();

  // The number that a cell begins with, in one unit; its spread, interval and marks only follow it.
  const number = (text) => {
    const [, sign, digits, unit] = NUMBER.exec(text) || [];
    return digits === undefined ? NaN : (sign ? -1 : 1) * (digits === "∞" ? Infinity : Number(digits)) * (UNITS[unit] || 1);
  };

  const sorted = (rows, column, way) => {
    const keyed = rows.map((row) => ({ row, text: words(row.cells[column]) }));
    for (const key of keyed) key.value = number(key.text);
    const there = keyed.filter((key) => !ABSENT.includes(key.text));
    const numeric = there.filter((key) => !isNaN(key.value)).length * 2 > there.length;
    const last = (key) => Number(ABSENT.includes(key.text) || (numeric && isNaN(key.value)));
    const order = (a, b) => (numeric && a.value - b.value) || a.text.localeCompare(b.text, "en", { numeric: true });
    return keyed.sort((a, b) => last(a) - last(b) || way * order(a, b)).map((key) => key.row);
  };

  for (const table of tables) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    if (rows.length > 1) heads.forEach((cell, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[cell.getAttribute("aria-sort")];
        for (const other of heads) other.removeAttribute("aria-sort");
        if (next !== null) cell.setAttribute("aria-sort", next || "ascending");
        body.append(...(next === null ? rows : sorted(rows, column, next === "descending" ? -1 : 1)));
      });
    });
  }

  // A spreadsheet reads numbers with an ASCII minus and would run a name that begins like a formula.
  const plain = (text) => text.replace(/−(?=[\d∞])/g, "-").replace(/^(?=[=+@]|-(?![\d∞]))/, "'");
  const tsv = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => plain(row.parentNode === table.tHead ? head(cell) : words(cell))).join("\t")).join("\n") + "\n";

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // no clipboard for this page: as browsers did it before
      const field = document.body.appendChild(document.createElement("textarea"));
      field.value = text;
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  };
  for (const table of tables) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    button.setAttribute("aria-live", "polite");
    button.title = "Copy the table, tab-separated";
    button.addEventListener("click", async () => {
      await copy(tsv(table));
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    table.closest(".table").querySelector(".downloads").append(button);
  }
}
