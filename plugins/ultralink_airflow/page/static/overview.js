// The calendar by keyboard: one stop for Tab, arrows move within; the newest nights are in view.
(() => {
  "use strict";

  for (const box of document.querySelectorAll("[data-end]")) box.scrollLeft = box.scrollWidth;

  for (const grid of document.querySelectorAll("[data-grid]")) {
    const rows = [...grid.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")].map((td) => td.querySelector("a")));
    const cells = rows.flat().filter(Boolean);
    cells.forEach((cell, number) => (cell.tabIndex = number === cells.length - 1 ? 0 : -1));

    grid.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
      const step = steps[event.key];
      const row = rows.findIndex((links) => links.includes(event.target));
      if (!step || row < 0) return;
      let [down, across] = [row, rows[row].indexOf(event.target)];
      do {
        down += step[0];
        across += step[1];
      } while (rows[down] && across >= 0 && across < rows[down].length && !rows[down][across]);
      const next = rows[down]?.[across];
      event.preventDefault();
      if (!next) return;
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }
})();
