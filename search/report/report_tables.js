// Tables that sort, and the list of all trials. Part of the report's script; see report.js.
const compare = (p, q) => (typeof p === "number" && typeof q === "number" ? p - q : String(p).localeCompare(String(q), "en", { numeric: true }));
function sortKeys(heads, apply) {
  heads.forEach((head, column) => {
    const go = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      apply(column, down ? -1 : 1);
    };
    head.tabIndex = 0;
    head.addEventListener("click", go);
    head.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); go(); } });
  });
}
function staticTables() {
  document.querySelectorAll(".card.table table").forEach((table) => {
    sortKeys([...table.querySelectorAll("th")], (column, way) => {
      const key = (row) => { const cell = row.cells[column]; return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v); };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((p, q) => {
        const gone = (k) => k === "–";
        const [x, y] = [key(p), key(q)];
        return gone(x) || gone(y) ? gone(x) - gone(y) : way * compare(x, y);
      }));
    });
  });
}
function trialsTable() {
  const parent = byId("trials-table"), size = 50;
  const columns = ["arm", "trial", "status", "feasible", ...data.objectives.map(withUnit), "operators", "seconds [s]"];
  let rows = data.arms.flatMap((arm, a) => arm.number.map((n, i) => ({
    a, n, cells: [arm.name, n, arm.status[i], arm.status[i] === "complete" ? (arm.feasible[i] ? "yes" : "no") : "",
      ...data.objectives.map((_, k) => arm.values[k][i]), arm.summary[i], arm.seconds[i]],
  })));
  if (!rows.length) return parent.append(el("p", { class: "empty", text: "There are no trials yet." }));
  const all = rows;
  let page = 0;
  const heads = columns.map((c, k) => el("th", { scope: "col", "data-sortable": "", text: c, class: typeof all[0].cells[k] === "number" || (k > 3 && k < columns.length - 2) || k === columns.length - 1 ? "number" : "" }));
  data.objectives.forEach((m, k) => heads[4 + k].append(" ", badge(m.evidence)));
  const body = el("tbody"), told = el("span");
  const back = el("button", { type: "button", text: "Previous", onclick: () => { page -= 1; show(); } });
  const next = el("button", { type: "button", text: "Next", onclick: () => { page += 1; show(); } });
  function show() {
    const last = Math.max(0, Math.ceil(rows.length / size) - 1);
    page = Math.min(Math.max(page, 0), last);
    body.replaceChildren(...rows.slice(page * size, (page + 1) * size).map(({ a, n, cells }) => {
      const row = el("tr", {}, cells.map((c, k) => el("td", { class: heads[k].className }, [
        k === 2 ? badge(c) : typeof c === "number" && k !== 1 ? num(c, (data.objectives[k - 4] || {}).whole) : c === null || c === "" ? "–" : String(c)])));
      makePickable(row, a, n);
      if (current && current[0] === a && current[1] === n) row.classList.add("chosen");
      return row;
    }));
    told.textContent = rows.length ? `${page * size + 1} to ${Math.min(rows.length, (page + 1) * size)} of ${rows.length.toLocaleString("en")} trials` : "No trial matches.";
    back.disabled = page === 0;
    next.disabled = page === last;
  }
  let words = [], sorting = null;
  function arrange() {
    const gone = (v) => v === null || v === "";
    rows = all.filter(({ cells }) => { const text = cells.join(" ").toLowerCase(); return words.every((w) => text.includes(w)); });
    if (sorting) {
      const [column, way] = sorting;
      rows.sort((p, q) => {
        const [x, y] = [p.cells[column], q.cells[column]];
        return gone(x) || gone(y) ? gone(x) - gone(y) : way * compare(x, y);
      });
    }
    page = 0;
    show();
  }
  sortKeys(heads, (column, way) => { sorting = [column, way]; arrange(); });
  byId("find").addEventListener("input", (event) => {
    words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    arrange();
  });
  parent.append(el("div", { class: "scroll" }, [el("table", {}, [el("thead", {}, [el("tr", {}, heads)]), body])]));
  parent.append(el("div", { class: "pager" }, [back, next, told, el("span", { text: "Every metric and parameter of every trial is in trials.csv." })]));
  show();
  return undefined;
}
