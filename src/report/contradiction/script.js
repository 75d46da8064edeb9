// Pointing at a bar shows the step that the table has for it. Everything is in the tables; nothing depends on this.
"use strict";
for (const section of document.querySelectorAll("section.contradiction")) {
  const line = section.querySelector("p.chosen");
  const rows = new Map([...section.querySelectorAll("tr[data-op]")].map((row) => [row.dataset.op, row]));
  const choose = (bar) => {
    for (const old of section.querySelectorAll(".chosen-op")) old.classList.remove("chosen-op");
    bar.classList.add("chosen-op");
    const row = rows.get(bar.dataset.op);
    const what = bar.querySelector("title").textContent;
    if (!row) {
      line.textContent = what + " — has no place in the order that comes furthest.";
      return;
    }
    row.classList.add("chosen-op");
    const [step, , state, not] = row.cells;
    const reasons = [...not.querySelectorAll("li")].map((item) => item.textContent.trim());
    line.textContent = "Step " + step.textContent + ": " + what + ". State afterwards: " + state.textContent + "." +
      (reasons.length ? " Could not come next: " + reasons.join("; ") + "." : "");
  };
  for (const bar of section.querySelectorAll("g.op")) {
    for (const event of ["mouseenter", "focus", "click"]) bar.addEventListener(event, () => choose(bar));
  }
}
