// The slider over thresholds. It computes nothing: it shows cells of the table below it.
"use strict";
(() => {
  const panel = document.getElementById("slider");
  if (!panel) return;
  const rows = [...document.querySelectorAll("#thresholds tbody tr")];
  const range = document.getElementById("threshold");
  const mark = document.querySelector("#risk-coverage .mark");
  const names = ["threshold", "answered", "error", "bound"];
  const shown = (row, name) => row.querySelector(`[data-name="${name}"]`).textContent;
  const show = () => {
    const row = rows[Number(range.value)];
    for (const name of names) document.getElementById(`slider-${name}`).textContent = shown(row, name);
    const exported = row.hasAttribute("data-exported");
    document.getElementById("slider-exported").hidden = !exported;
    const proven = row.hasAttribute("data-proven");
    document.getElementById("slider-proven").hidden = exported || !proven;
    document.getElementById("slider-moved").hidden = exported || proven;
    panel.classList.toggle("moved", !exported && !proven);
    if (mark) {
      mark.toggleAttribute("hidden", !row.dataset.x);
      mark.classList.toggle("moved", !exported && !proven);
      if (row.dataset.x) {
        mark.setAttribute("cx", row.dataset.x);
        mark.setAttribute("cy", row.dataset.y);
      }
    }
    range.setAttribute(
      "aria-valuetext",
      `${exported ? "as exported, " : proven ? "proven too, " : ""}threshold ${shown(row, "threshold")}: ` +
        `${shown(row, "answered")} answered, ${shown(row, "error")} of those wrong, ` +
        `upper bound ${shown(row, "bound")}`,
    );
  };
  range.addEventListener("input", show);
  document.getElementById("slider-back").addEventListener("click", () => {
    range.value = range.defaultValue;
    show();
  });
  show();
  panel.hidden = false;
})();
