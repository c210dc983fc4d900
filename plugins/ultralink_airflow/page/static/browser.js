// Keys: an element with data-key is pressed (or, if one writes in it, focused) by its key; j and k walk a list.
(() => {
  "use strict";

  const writes = (element) => element.matches("textarea, select, input");

  const walk = (list, step) => {
    const links = [...list.querySelectorAll("a.open")];
    const at = links.indexOf(document.activeElement);
    const next = links[Math.max(0, Math.min(links.length - 1, at + step))];
    next?.focus();
    next?.closest("li").scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (event.target.closest?.("input, textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const list = document.querySelector("[data-list]");
    if (list && (event.key === "j" || event.key === "k")) {
      event.preventDefault();
      walk(list, event.key === "j" ? 1 : -1);
      return;
    }
    const wanted = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
    if (!wanted) return;
    event.preventDefault();
    if (writes(wanted)) wanted.focus();
    else wanted.click();
  });
})();
