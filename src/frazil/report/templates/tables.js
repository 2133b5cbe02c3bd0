(() => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    table.querySelectorAll("thead th").forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[place].dataset.key ?? row.cells[place].textContent;
        const numeric = head.classList.contains("number");
        const order = (a, b) => {
          if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
          const found = numeric ? key(a) - key(b) : key(a).localeCompare(key(b), "en", {numeric: true});
          return down ? -found : found;
        };
        body.append(...[...body.rows].sort(order));
      });
    });
    if (body.rows.length > 5) {
      const field = document.createElement("input");
      field.type = "search";
      field.placeholder = "rows that hold …";
      field.setAttribute("aria-label", "Show only rows that hold");
      field.addEventListener("input", () => {
        const word = field.value.toLowerCase();
        for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(word);
      });
      table.parentElement.before(field);
    }
  }
})();
