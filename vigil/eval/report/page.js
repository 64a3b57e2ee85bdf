// The pointer, or the arrow keys, move a cursor along a time line and show the frame of that moment.
"use strict";
const SVG = "http://www.w3.org/2000/svg";
const GUTTER = 104, MARGIN = 16, COLUMNS = 10; // as in timeline.py and pictures.py

for (const scrub of document.querySelectorAll(".scrub")) {
  const region = scrub.querySelector(".wide");
  const drawing = scrub.querySelector(".timeline");
  const cursor = scrub.querySelector(".cursor");
  const preview = scrub.querySelector(".preview");
  const end = Number(region.dataset.end), step = Number(region.dataset.step);
  const said = [...drawing.querySelectorAll("[data-from]")].map((mark) => [Number(mark.dataset.from), mark.dataset.text]);
  const width = drawing.viewBox.baseVal.width;
  let now = 0;

  let cells = [], use = null, text = null;
  if (preview) {
    const wide = Number(preview.dataset.wide), high = Number(preview.dataset.high);
    cells = preview.dataset.cells.split(" ").map((pair) => pair.split(":").map(Number));
    const picture = document.createElementNS(SVG, "svg");
    picture.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    picture.classList.add("frame");
    use = document.createElementNS(SVG, "use");
    use.setAttribute("href", `#${preview.dataset.sheet}`);
    picture.append(use);
    text = document.createElement("div");
    preview.append(picture, text);
    use.place = (cell) => use.setAttribute("transform", `translate(${-(cell % COLUMNS) * wide} ${-Math.floor(cell / COLUMNS) * high})`);
  }

  const show = (seconds) => {
    now = Math.min(Math.max(seconds, 0), end);
    const at = GUTTER + (now / end) * (width - GUTTER - MARGIN);
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    scrub.classList.add("is-scrubbed");
    if (!preview) return;
    const cell = cells.filter(([time]) => time <= now + 1e-6).at(-1) ?? cells[0];
    use.place(cell[1]);
    const last = said.filter(([time]) => time <= now + 1e-6).at(-1);
    text.textContent = `${now.toFixed(1)} s` + (last ? ` · last said: ${last[1].trim()}` : " · nothing said yet");
    preview.hidden = false;
    const box = drawing.getBoundingClientRect(), home = scrub.getBoundingClientRect();
    const x = box.left - home.left + (at / width) * box.width;
    const isRight = x + 214 > home.width;
    preview.style.left = `${isRight ? x - 204 : x + 14}px`;
  };
  const hide = () => {
    scrub.classList.remove("is-scrubbed");
    if (preview) preview.hidden = true;
  };

  region.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    if (at < GUTTER) hide();
    else show(((at - GUTTER) / (width - GUTTER - MARGIN)) * end);
  });
  region.addEventListener("pointerleave", hide);
  region.addEventListener("blur", hide);
  region.addEventListener("keydown", (event) => {
    const move = { ArrowRight: step, ArrowLeft: -step, Home: -end, End: end }[event.key];
    if (move === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    show(now + move);
  });
}
