
// Figures: the value of the point that is nearest to the pointer. Without this script browsers show it as a title.
{
  const REACH = 14; // units of the figure, about 20 px
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);

  for (const figure of all("svg.figure:has(.value)")) {
    const points = all(".value", figure).map((mark) => {
      const title = mark.firstElementChild;
      title.remove();
      return { mark, words: title.textContent, x: mark.cx.baseVal.value, y: mark.cy.baseVal.value };
    });
    let shown = null;
    const show = (point, event) => {
      if (shown !== point) {
        shown?.mark.classList.remove("on");
        point?.mark.classList.add("on");
        shown = point;
      }
      tip.hidden = !point;
      if (!point) return;
      const series = point.mark.dataset.series;
      tip.textContent = point.words;
      tip.style.setProperty("--series", series === undefined ? "var(--quiet)" : `var(--series-${series % 10})`);
      const { offsetWidth: width, offsetHeight: height } = tip;
      tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
      tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18}px`;
    };
    const look = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(figure.getScreenCTM().inverse());
      let near = null;
      let least = REACH;
      for (const point of points) {
        if (picked.size && !picked.has(point.mark.dataset.series)) continue;
        const far = Math.hypot(point.x - at.x, point.y - at.y);
        if (far < least) [near, least] = [point, far];
      }
      show(near, event);
    };
    figure.addEventListener("pointermove", look);
    figure.addEventListener("pointerdown", look);
    figure.addEventListener("pointerleave", (event) => show(null, event));
  }
}
