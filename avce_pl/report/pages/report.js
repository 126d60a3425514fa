"use strict";
// Text from run folders reaches the page through textContent alone.
const { settings, runs } = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const DRAWN = 24; // curves that a reader can still tell apart
const COLOURS = 8;
const AT_ONCE = 100; // rows
const list = $("rows");
const rows = list ? [...list.rows] : [];
const number = new Map(rows.map((row, n) => [row, n]));
const boxes = rows.map((row) => row.querySelector("input"));
const texts = rows.map((row, n) => [row.textContent, ...runs[n].words, runs[n].failure].join(" ").toLowerCase());
let order = rows;
let matching = rows;

function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function drawing(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

// ---- tables: a click, or Enter, on a column's title sorts; what is missing stays last

const collator = new Intl.Collator("en", { numeric: true });

function sorted(rows, column, up) {
  const keyed = rows.map((row) => {
    const text = row.cells[column].textContent.trim();
    const box = row.cells[column].querySelector("input");
    return { row, text: box ? (box.checked ? "0" : "1") : text.replaceAll(",", "") };
  });
  const there = keyed.filter(({ text }) => text && text !== "–");
  const numeric = there.every(({ text }) => /^[+-]?\d*\.?\d+(e[+-]?\d+)?($|[\s%×])/.test(text));
  const compare = numeric
    ? (a, b) => parseFloat(a.text) - parseFloat(b.text)
    : (a, b) => collator.compare(a.text, b.text);
  there.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
  const missing = keyed.filter(({ text }) => !text || text === "–");
  return [...there, ...missing].map(({ row }) => row);
}

for (const table of document.querySelectorAll(".sortable > table")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = element("button", head.textContent, { type: "button" });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      if (body === list) {
        order = sorted(order, column, up);
        filter();
      } else {
        body.append(...sorted([...body.rows], column, up));
      }
    });
  });
}

// ---- the runs: every word of the filter has to occur; of many rows only those that were scrolled to are laid out

function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  matching = order.filter((row) => words.every((word) => texts[number.get(row)].includes(word)));
  list.replaceChildren(...matching.slice(0, AT_ONCE));
  list.parentElement.setAttribute("aria-rowcount", matching.length + 1);
  $("count").textContent = `${matching.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} runs`;
}

function more(count) {
  list.append(...matching.slice(list.rows.length, list.rows.length + count));
}

// ---- learning curves of the ticked rows

function ticks(low, high) {
  const raw = (high - low) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(+(n * step).toPrecision(6));
  return found;
}

function line(position) {
  const dash = ["", "6 3", "2 3"][Math.floor(position / COLOURS) % 3];
  return { style: `stroke: var(--c${position % COLOURS})`, "stroke-dasharray": dash };
}

function draw() {
  const [split, ...rest] = $("metric").value.split("/");
  const name = rest.join("/");
  const ticked = runs.filter((_, n) => boxes[n].checked);
  const curves = ticked.flatMap((run) => {
    const { x = [], [name]: y = [] } = run.curves[split] ?? {};
    const points = x.map((at, n) => [at, y[n]]).filter(([, value]) => value != null);
    return points.length ? [{ run, points }] : [];
  });
  const drawn = curves.slice(0, DRAWN);
  const commits = new Set(drawn.map(({ run }) => run.commit));
  const notes = [
    ticked.length ? "" : "Tick runs in the table to draw their curves.",
    curves.length < ticked.length ? `${ticked.length - curves.length} ticked runs have no such curve.` : "",
    curves.length > DRAWN ? `The first ${DRAWN} of ${curves.length} curves.` : "",
    ...new Set(drawn.map(({ run }) => run.note && `${run.note}.`)),
    commits.size > 1 ? `Mixed commits: ${[...commits].join(", ")}.` : "",
  ];
  const chart = $("chart");
  chart.replaceChildren(element("p", notes.filter(Boolean).join(" "), { class: "faint" }));
  if (!drawn.length) return;
  const all = drawn.flatMap(({ points }) => points);
  const extent = (axis) => [Math.min(...all.map((p) => p[axis])), Math.max(...all.map((p) => p[axis]))];
  const right = extent(0)[1];
  let [low, high] = extent(1);
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const [width, height, left, bottom] = [Math.max(chart.clientWidth, 280), 300, 48, 28];
  const x = (value) => left + (value / right) * (width - left - 12);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - bottom - 12);
  const label = `${split}/${name} against epochs, ${drawn.length} runs; the table below has the values`;
  const svg = drawing("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const value of ticks(low, high)) {
    svg.append(drawing("path", { class: "grid", d: `M${left} ${y(value)}H${width - 12}` }));
    svg.append(drawing("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value));
  }
  for (const value of ticks(0, right)) {
    svg.append(drawing("text", { x: x(value), y: height - 10, "text-anchor": "middle" }, value));
  }
  drawn.forEach(({ run, points }, position) => {
    const d = points.map(([a, b], n) => `${n ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    const path = drawing("path", { d: points.length > 1 ? d : `${d}h4`, ...line(position) });
    path.append(drawing("title", {}, run.where));
    svg.append(path);
  });
  const legend = element("table");
  const head = legend.createTHead().insertRow();
  for (const title of [`${split}/${name}`, "last", "lowest", "highest"]) head.append(element("th", title, { scope: "col" }));
  const body = legend.createTBody();
  drawn.forEach(({ run, points }, position) => {
    const row = body.insertRow();
    const swatch = drawing("svg", { class: "swatch", viewBox: "0 0 32 12", "aria-hidden": "true" });
    swatch.append(drawing("path", { d: "M0 6H32", ...line(position) }));
    row.insertCell().append(swatch, `${run.label} (${run.where.split("/").slice(0, 3).join(", ")})`);
    const values = points.map((point) => point[1]);
    for (const value of [values.at(-1), Math.min(...values), Math.max(...values)]) row.insertCell().append(value);
  });
  const box = element("div", "", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Values of the curves" });
  box.append(legend);
  chart.append(svg, element("p", "epochs", { class: "faint" }), box);
}

function tick(wanted) {
  boxes.forEach((box, n) => (box.checked = wanted(n)));
  draw();
}

// ---- one run

function listing(title, pairs) {
  const table = element("table");
  for (const [key, value] of pairs) {
    const row = table.insertRow();
    row.append(element("th", key, { scope: "row" }), element("td", value));
  }
  return [element("h3", title), table];
}

function open(run) {
  const named = run.where.split("/")[0];
  const beside = runs.filter((other) => other.where.split("/")[0] === named && other.settings.length);
  const count = new Map();
  for (const other of beside) for (const n of other.settings) count.set(n, (count.get(n) ?? 0) + 1);
  const pairs = (chosen) => chosen.map((n) => settings[n].split(/=(.*)/s));
  $("run").textContent = run.label;
  const parts = [element("p", run.where, { class: "faint" })];
  if (run.failure) parts.push(element("h3", "Failure"), element("pre", run.failure));
  for (const [title, values] of Object.entries(run.facts)) parts.push(...listing(title, Object.entries(values)));
  const own = run.settings.filter((n) => count.get(n) < beside.length);
  const shared = run.settings.filter((n) => count.get(n) === beside.length);
  if (own.length) parts.push(...listing(`Configuration: what not all runs of ${named} share`, pairs(own)));
  if (shared.length) parts.push(...listing(`Configuration${own.length ? ": the rest" : ""}`, pairs(shared)));
  $("details").replaceChildren(...parts);
  document.querySelector("dialog").showModal();
}

if (list) {
  const names = new Set();
  for (const run of runs)
    for (const [split, columns] of Object.entries(run.curves))
      for (const name of Object.keys(columns)) if (name !== "x") names.add(`${split}/${name}`);
  const usual = ["val/ccc_mean", "val/accuracy"].filter((name) => names.has(name));
  for (const name of new Set([...usual, ...[...names].sort()])) $("metric").append(element("option", name));
  const box = list.closest(".scroll");
  box.addEventListener("scroll", () => {
    if (box.scrollTop + 2 * box.clientHeight > box.scrollHeight) more(AT_ONCE);
  });
  window.addEventListener("beforeprint", () => more(rows.length));
  $("filter").addEventListener("input", filter);
  $("metric").addEventListener("change", draw);
  list.addEventListener("change", draw);
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) open(runs[number.get(button.closest("tr"))]);
  });
  $("all").addEventListener("click", () => tick((n) => matching.includes(rows[n])));
  $("none").addEventListener("click", () => tick(() => false));
  window.addEventListener("resize", draw);
  filter();
  const first = [...runs.keys()].filter((n) => runs[n].curves.val).slice(0, 3);
  tick((n) => first.includes(n));
}
