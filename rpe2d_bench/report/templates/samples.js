
// Samples: all sizes with one image each, or one size with all its images; of which seed; and each image enlarged.
{
  const labelsOf = (view) => view.dataset.labels.split(" ");

  for (const box of all(".strips:has(.controls)")) {
    const table = box.querySelector(".images");
    const heads = all("thead th[data-column]", table);
    const [size, image, seed, zoom] = ["size", "image", "seed", "zoom"].map((name) => box.querySelector(`.${name}`));
    const update = () => {
      if (seed) for (const view of all(".window[data-seed]", table)) view.hidden = view.dataset.seed !== seed.value;
      if (size) {
        box.dataset.view = box.querySelector("input[type=radio]:checked").value;
        for (const cell of all("[data-column]", table)) cell.classList.toggle("shown", cell.dataset.column === size.value);
        const head = heads[Number(size.value)];
        size.nextElementSibling.value = `${head.firstChild.textContent} px (${head.querySelector("small").textContent})`;
        const last = all(".window:not([hidden])", table).at(-1);
        image.nextElementSibling.value = `class ${labelsOf(last)[Number(image.value)]}`;
        table.style.setProperty("--pick", image.value);
      }
      box.style.setProperty("--zoom", zoom.value);
    };
    if (matchMedia("(max-width:40rem)").matches && Number(zoom.value) > 1) zoom.value = "1";
    box.querySelector(".controls").hidden = false;
    box.addEventListener("input", update);
    update();
  }

  // One image, as large as the window allows, with pickers of what else there is.
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", "One image, enlarged");
  dialog.innerHTML = `<form method="dialog"><label>Method <select name="row"></select></label><label>Size <select name="column"></select></label>
    <label>Seed <select name="seed"></select></label><label>Image <select name="place"></select></label><button>close</button></form>
    <div class="view" tabindex="0" autofocus><div class="reel"></div></div><p aria-live="polite"></p><p class="quiet">Arrow keys: other images and methods.</p>`;
  document.querySelector("main").append(dialog);
  const form = dialog.querySelector("form");
  const view = dialog.querySelector(".view");
  let table = null;

  const fill = (select, texts, values = texts.map((_, index) => index)) => {
    const before = select.value;
    select.replaceChildren(...texts.map((text, index) => new Option(text, values[index])));
    if (values.map(String).includes(before)) select.value = before;
    select.closest("label").hidden = texts.length < 2;
  };
  const sizeOf = (head) => `${head.firstChild.textContent} px (${head.querySelector("small").textContent})`;

  const show = () => {
    const rows = [...table.tBodies[0].rows];
    const { row, column, seed, place } = form.elements;
    const views = all(`[data-column="${column.value}"] .window`, rows[row.value]);
    const chosen = views.find((each) => each.dataset.seed === seed.value) || views[0];
    const text = dialog.querySelector("p");
    view.hidden = !chosen;
    if (!chosen) { text.textContent = "no images"; return; }
    fill(seed, views.map((each) => each.dataset.seed || ""), views.map((each) => each.dataset.seed || ""));
    const labels = labelsOf(chosen);
    fill(place, labels.map((label, index) => `${index + 1}: class ${label}`));
    const at = Number(place.value);
    const [w, h] = ["--w", "--h"].map((name) => Number(chosen.style.getPropertyValue(name)));
    const room = Math.min((innerWidth * 0.8) / w, (innerHeight * 0.6) / h, 16);
    const reel = view.firstElementChild;
    for (const [name, value] of [["--w", w], ["--h", h], ["--zoom", room > 1 ? Math.floor(room) : room], ["--pick", at]]) view.style.setProperty(name, value);
    reel.style.cssText = chosen.firstElementChild.style.cssText;
    reel.replaceChildren(...[...chosen.firstElementChild.children].map((child) => child.cloneNode()));
    const seen = chosen.dataset.seen?.split(" ")[at];
    const whose = chosen.dataset.seed === undefined ? "" : `, seed ${chosen.dataset.seed}`;
    const name = words(rows[row.value].cells[0]);
    const size = sizeOf(all("thead th[data-column]", table)[column.value]);
    text.textContent = `${name} at ${size}${whose}: ${whose && "asked for "}class ${labels[at]}${seen === undefined ? "" : `; ${table.dataset.classifier} sees class ${seen}`}.`;
    reel.querySelector("img").alt = text.textContent;
  };

  const open = (chosen, at) => {
    table = chosen.closest("table");
    const { row, column, seed, place } = form.elements;
    fill(row, [...table.tBodies[0].rows].map((each) => words(each.cells[0])));
    fill(column, all("thead th[data-column]", table).map(sizeOf));
    row.value = chosen.closest("tr").sectionRowIndex;
    column.value = chosen.closest("td").dataset.column;
    seed.replaceChildren(new Option("", chosen.dataset.seed || ""));
    place.replaceChildren(new Option("", at));
    show();
    dialog.showModal();
    view.focus();
  };

  for (const each of all(".window")) {
    each.tabIndex = 0;
    each.setAttribute("role", "button");
    each.addEventListener("click", (event) => {
      const reel = each.firstElementChild.getBoundingClientRect();
      const count = labelsOf(each).length;
      const at = Math.floor(((event.clientX - reel.left) / reel.width) * count);
      open(each, Math.max(0, Math.min(at, count - 1)));
    });
    each.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open(each, Number(getComputedStyle(each).getPropertyValue("--pick")) || 0);
    });
  }
  form.addEventListener("input", show);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    const [name, step] = { ArrowLeft: ["place", -1], ArrowRight: ["place", 1], ArrowUp: ["row", -1], ArrowDown: ["row", 1] }[event.key] || [];
    if (!name || event.target.tagName === "SELECT") return;
    event.preventDefault();
    const select = form.elements[name];
    select.selectedIndex = Math.max(0, Math.min(select.selectedIndex + step, select.options.length - 1));
    show();
  });
}
