const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const words = (cell) => [...cell.childNodes].map((node) => node.textContent.trim()).filter(Boolean).join(" ");

// One method highlighted everywhere; more can be added, none means all.
const picked = new Set();
const showPicked = () => {
  document.body.classList.toggle("picking", picked.size > 0);
  for (const name of ["series", "row", "pick"]) {
    for (const element of all(`[data-${name}]`)) {
      const on = picked.has(element.dataset[name]);
      if (name === "pick") element.setAttribute("aria-pressed", String(on));
      else element.classList.toggle("picked", on);
    }
  }
};
for (const button of all("[data-pick]")) {
  button.addEventListener("click", () => {
    const key = button.dataset.pick;
    if (!picked.delete(key)) picked.add(key);
    showPicked();
  });
}

// The system's theme, or the other one.
const theme = document.getElementById("theme");
const root = document.documentElement;
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme:dark)").matches);
const label = () => { theme.textContent = isDark() ? "light" : "dark"; theme.setAttribute("aria-label", `Switch to ${theme.textContent} colours`); };
theme.hidden = false;
theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); });
label();

// A link leads into a folded section.
const unfold = () => {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  for (let at = target && (target.querySelector("details.part") || target); at; at = at.parentElement) {
    if (at.tagName === "DETAILS") at.open = true;
  }
};
addEventListener("hashchange", unfold);
unfold();

// The abridged print: the sections that are marked for it, open, and nothing that is folded within them.
let before = [];
addEventListener("beforeprint", () => {
  before = all("details").map((item) => [item, item.open]);
  for (const [item] of before) item.open = item.matches("[data-print]");
});
addEventListener("afterprint", () => { for (const [item, open] of before) item.open = open; before = []; });
