// The frame's behaviour: the theme of Airflow's UI, and links that leave this page for Airflow's own views.
(() => {
  "use strict";

  // Airflow's UI keeps the chosen theme on its own <html>; alone in a tab, the system's choice holds (see page.css).
  const outer = () => {
    try {
      return window.parent === window ? null : window.parent.document;
    } catch {
      return null; // framed by a page that is not ours to read
    }
  };

  const follow = () => {
    const html = outer()?.documentElement;
    if (!html) return;
    const chosen = html.classList.contains("dark") || html.dataset.theme === "dark" ? "dark" : "light";
    document.documentElement.dataset.theme = chosen;
  };

  const frame = outer();
  if (frame) {
    follow();
    new MutationObserver(follow).observe(frame.documentElement, { attributes: true });
  }

  // The UI's sandbox lets no link out of the frame, so a link of the outer document is pressed instead:
  // data-ui leads to Airflow's own views in the same tab, data-out to another site in a new one.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-ui], a[data-out]");
    const page = outer();
    if (!link || !page || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const same = page.createElement("a");
    same.href = link.href;
    if (link.hasAttribute("data-out")) {
      same.target = "_blank";
      same.rel = "noopener noreferrer";
    }
    same.click();
  });

  // A choice that changes the page at once; without scripts its form has a button.
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("[data-submit]")) event.target.form.requestSubmit();
  });
})();
