// Tables can be searched, sorted by a column and freed of columns. Without a script they are whole.
"use strict";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  if (rows.length < 2) continue;
  const make = (name, attributes = {}, ...children) => {
    const element = Object.assign(document.createElement(name), attributes);
    element.append(...children);
    return element;
  };

  // Sorting: up, down, as it was. Missing values come last.
  const value = (row, k) => {
    const cell = row.cells[k], text = cell.textContent.trim();
    if (text === "--" || text === "") return null;
    return cell.dataset.value === undefined ? text : Number(cell.dataset.value);
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number"
    ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  heads.forEach((head, k) => {
    const button = make("button", { type: "button", className: "sort" }, ...head.childNodes);
    button.title = "sort by this column";
    head.append(button);
    button.addEventListener("click", () => {
      const now = { ascending: "descending", descending: null }[head.ariaSort];
      const next = now === undefined ? "ascending" : now;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      if (next) head.ariaSort = next;
      const sign = next === "descending" ? -1 : 1;
      const sorted = next === null ? rows : [...rows].sort((one, other) => {
        const [a, b] = [value(one, k), value(other, k)];
        return a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b);
      });
      body.append(...sorted);
    });
  });

  const search = make("input", { type: "search", placeholder: "search rows" });
  search.ariaLabel = `search rows of: ${table.dataset.title}`;
  const count = make("span", { className: "count" });
  count.setAttribute("role", "status");
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => {
      const cells = [...row.cells].filter((cell) => !cell.hidden);
      const text = cells.map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    });
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });

  const boxes = heads.slice(1).map((head, index) => {
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      for (const row of table.rows) row.cells[index + 1].hidden = !box.checked;
      search.dispatchEvent(new Event("input"));
    });
    return make("label", {}, box, ` ${head.textContent.trim()}`);
  });
  const columns = make("details", { className: "columns" },
    make("summary", {}, "columns"), make("div", {}, ...boxes));
  columns.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    columns.open = false;
    columns.firstChild.focus();
  });
  document.addEventListener("click", (event) => {
    if (!columns.contains(event.target)) columns.open = false;
  });
  table.parentElement.before(make("div", { className: "tools" }, search, columns, count));
}
