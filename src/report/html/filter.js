// Narrows the table of lost writes to the rows that contain what is typed. Without it the table is simply whole.
(() => {
  const table = document.getElementById("lost-table");
  if (!table) return;
  const rows = [...table.tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
  const box = document.createElement("div");
  box.className = "filter";
  const label = document.createElement("label");
  label.textContent = "Show rows with ";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "element, process, node or time";
  const said = document.createElement("span");
  said.className = "muted small";
  said.setAttribute("role", "status");
  label.append(input);
  box.append(label, " ", said);
  table.closest(".scroll").before(box);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !text.includes(wanted);
      if (!row.hidden) shown += 1;
    }
    said.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
  });
})();
