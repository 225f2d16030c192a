// src/dom.ts
function fill(made2, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === "function") made2.addEventListener(name, value);
    else if (value === true) made2.setAttribute(name, "");
    else if (value !== false && value !== null && value !== void 0) made2.setAttribute(name, `${value}`);
  }
  made2.append(...children);
}
function h(tag, given = {}, ...children) {
  const made2 = document.createElement(tag);
  fill(made2, given, children);
  return made2;
}
function svg(tag, given = {}, ...children) {
  const made2 = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(made2, given, children);
  return made2;
}
var made = 0;
function unique(name) {
  made += 1;
  return `pellucid-${name}-${made}`;
}

// src/figure.ts
var MADE = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array
};
function resolved(data, buffers) {
  const tensors = /* @__PURE__ */ new Map();
  const tensor = (n, dtype, shape) => {
    const known = tensors.get(n) ?? { values: new MADE[dtype](buffers[n]), shape };
    tensors.set(n, known);
    return known;
  };
  const visit = (value) => {
    if (Array.isArray(value)) return value.map(visit);
    if (value === null || typeof value !== "object") return value;
    const held = value;
    if ("$array" in held) {
      return tensor(held.$array, held.dtype, held.shape);
    }
    return Object.fromEntries(Object.entries(held).map(([key, inner]) => [key, visit(inner)]));
  };
  return visit(data);
}

// src/attention.ts
var KEPT = 64 << 20;
var Attention = class {
  constructor(data) {
    this.data = data;
    this.tokens = data.tokens;
    this.rows = data.tokens.length;
    this.layers = data.layers.map((one) => one.layer);
    this.heads = data.heads;
    this.dim = data.layers[0]?.q.high.shape[2] ?? 0;
  }
  data;
  tokens;
  rows;
  layers;
  heads;
  dim;
  unpacked = /* @__PURE__ */ new Map();
  kept = 0;
  /** The queries of a head, `[rows, dim]`. */
  q(layer, head) {
    return this.plane("q", layer, head);
  }
  /** The keys that a head reads, `[rows, dim]`; several heads may share them. */
  k(layer, head) {
    return this.plane("k", layer, this.data.groups[head]);
  }
  /** The first position that a row may look at; the last is itself. */
  first(layer, row) {
    const window = this.data.layers[layer].window;
    return window ? Math.max(0, row - window + 1) : 0;
  }
  /** How well the keys that a row sees fit it, scaled and capped; into `out[first..row]`. */
  scores(layer, head, row, out) {
    const { scale, softcap } = this.data, { dim } = this;
    const q = this.q(layer, head), k = this.k(layer, head), first = this.first(layer, row);
    const query = q.subarray(row * dim, (row + 1) * dim);
    for (let j = first, at = first * dim; j <= row; j++, at += dim) {
      const fit = dot(query, k, at, dim) * scale;
      out[j] = softcap ? Math.tanh(fit / softcap) * softcap : fit;
    }
    return first;
  }
  /** How much a row takes of each position: into `out[0..row]`, zero where it may not look. */
  pattern(layer, head, row, out) {
    const first = this.scores(layer, head, row, out);
    let most = -Infinity, sum = 0;
    for (let j = first; j <= row; j++) most = Math.max(most, out[j]);
    for (let j = first; j <= row; j++) sum += out[j] = Math.exp(out[j] - most);
    for (let j = first; j <= row; j++) out[j] /= sum;
    out.fill(0, 0, first);
  }
  plane(which, layer, head) {
    const name = `${which} ${layer} ${head}`;
    const known = this.unpacked.get(name);
    if (known) return known;
    const made2 = unpack(this.data.layers[layer][which], head);
    while (this.kept > KEPT) this.drop();
    this.unpacked.set(name, made2);
    this.kept += made2.byteLength;
    return made2;
  }
  drop() {
    const [oldest, rows] = this.unpacked.entries().next().value;
    this.unpacked.delete(oldest);
    this.kept -= rows.byteLength;
  }
};
function dot(query, keys, at, dim) {
  let a = 0, b = 0, c = 0, d = 0, i = 0;
  for (; i + 3 < dim; i += 4) {
    a += query[i] * keys[at + i];
    b += query[i + 1] * keys[at + i + 1];
    c += query[i + 2] * keys[at + i + 2];
    d += query[i + 3] * keys[at + i + 3];
  }
  for (; i < dim; i++) a += query[i] * keys[at + i];
  return a + b + (c + d);
}
function unpack({ bits, scales, high, low }, head) {
  const [, rows, dim] = high.shape;
  const made2 = new Float32Array(rows * dim), begin = head * rows * dim, middle = 1 << bits - 1;
  for (let row = 0, i = 0; row < rows; row++) {
    const scale = scales.values[head * rows + row];
    for (const end = i + dim; i < end; i++) {
      const at = begin + i;
      const rest = bits === 16 ? low.values[at] : low.values[at >> 1] >> ((at & 1) << 2) & 15;
      made2[i] = ((high.values[at] << bits - 8) + rest - middle) * scale;
    }
  }
  return made2;
}

// src/colour.ts
function isDark(host) {
  const [r, g, b] = (getComputedStyle(host).color.match(/[\d.]+/g) ?? ["0", "0", "0"]).map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b > 128;
}
function onTheme(changed) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
var css = ([r, g, b], alpha) => `rgb(${r} ${g} ${b} / ${alpha.toFixed(3)})`;
var INK = {
  light: { share: [8, 64, 160], more: [176, 68, 0], less: [8, 64, 160] },
  dark: { share: [150, 205, 255], more: [255, 176, 96], less: [150, 205, 255] }
};
function signedColour(value, dark) {
  const { more, less } = INK[dark ? "dark" : "light"];
  return css(value < 0 ? less : more, Math.min(Math.abs(value), 1));
}
var DISTINCT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
function distinct(n) {
  return DISTINCT[n % DISTINCT.length];
}

// src/controls.ts
function toolbar(host, ...controls) {
  host.append(h("div", { class: "toolbar", role: "group", "aria-label": "Controls" }, ...controls));
}
function status(host) {
  const line2 = h("p", { class: "status", role: "status" });
  host.append(line2);
  return (text) => {
    if (line2.textContent !== text) line2.textContent = text;
  };
}
function choice(label, names, at, changed) {
  const options = names.map((name, i) => h("option", { value: i, selected: i === at }, name));
  const select = h("select", { change: () => changed(select.selectedIndex) }, ...options);
  return h("label", {}, `${label} `, select);
}
function slider(label, names, at, changed) {
  const shown = h("output", {}, names[at] ?? "");
  const input = h("input", {
    type: "range",
    min: 0,
    max: names.length - 1,
    value: at,
    "aria-label": label,
    "aria-valuetext": names[at],
    input: () => move(Number(input.value))
  });
  const show = (to) => {
    input.value = `${to}`;
    shown.textContent = names[to] ?? "";
    input.setAttribute("aria-valuetext", names[to] ?? "");
  };
  const move = (to) => {
    show(to);
    changed(to);
  };
  const whole = h("span", { class: "slider" }, `${label} `, shown, input);
  return Object.defineProperty(whole, "value", { get: () => Number(input.value), set: show });
}
function check(label, on, changed) {
  const input = h("input", { type: "checkbox", change: () => changed(input.checked) });
  input.checked = on;
  return h("label", {}, input, ` ${label}`);
}

// src/tokens.ts
var STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
function tokenList(labels, name, first, events) {
  let at = first;
  const items = labels.map((label, i) => h("span", {
    role: "option",
    tabindex: i === at ? 0 : -1,
    "aria-selected": `${i === at}`,
    "aria-label": `${i} ${label}`
  }, h("bdi", {}, label)));
  const show = (to) => {
    items[at]?.setAttribute("aria-selected", "false");
    items[at]?.setAttribute("tabindex", "-1");
    at = to;
    items[at]?.setAttribute("aria-selected", "true");
    items[at]?.setAttribute("tabindex", "0");
  };
  const pick = (to) => {
    show(to);
    items[to]?.focus();
    events.picked(to);
  };
  const element = h("div", { class: "tokens", role: "listbox", "aria-label": name }, ...items);
  const of = (event) => items.indexOf(event.target.closest("[role=option]"));
  element.addEventListener("click", (event) => of(event) >= 0 && pick(of(event)));
  element.addEventListener("pointerover", (event) => of(event) >= 0 && events.hovered?.(of(event)));
  element.addEventListener("pointerleave", () => events.hovered?.(null));
  element.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const ends = { Home: 0, End: items.length - 1 };
    const to = step === void 0 ? ends[event.key] : at + step;
    if (to === void 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    pick(Math.min(Math.max(to, 0), items.length - 1));
  });
  return Object.defineProperty({ element, items, at }, "at", { get: () => at, set: show });
}

// src/figures/attention-head.ts
var LINE = 24;
var GAP = 340;
var LEAST = 5e-3;
var NAMED = 5;
var HeadView = class {
  layer = 0;
  chosen;
  hovered = null;
  first = true;
  // whether the first token's links are drawn
  attention;
  lines = svg("g");
  left;
  right;
  say;
  links = [];
  constructor(host, data) {
    this.attention = new Attention(data);
    this.chosen = new Set(data.heads.length > 1 ? data.heads.keys() : [0]);
    const { tokens } = data;
    this.left = tokenList(tokens, "Tokens that look", tokens.length - 1, {
      picked: () => this.show(),
      hovered: (at) => this.hover(at)
    });
    this.right = tokens.map((label) => h("div", {}, h("bdi", {}, label)));
    this.controls(host);
    this.say = status(host);
    this.columns(host);
    this.show();
  }
  get state() {
    const { layers, heads } = this.attention;
    return {
      layer: layers[this.layer],
      row: this.row,
      heads: [...this.chosen].map((head) => heads[head]),
      links: this.links.map((link) => ({ ...link, head: heads[link.head] }))
    };
  }
  get row() {
    return this.hovered ?? this.left.at;
  }
  hover(at) {
    this.hovered = at;
    this.show();
  }
  controls(host) {
    const { layers, heads } = this.attention;
    const layer = slider("Layer", layers.map(String), 0, (at) => {
      this.layer = at;
      this.show();
    });
    const toggles = heads.map((head, at) => this.toggle(`${head}`, at));
    const group = h("span", { class: "heads", role: "group", "aria-label": "Heads" }, "Heads ", ...toggles);
    const first = check("links to the first token", true, (on) => {
      this.first = on;
      this.show();
    });
    toolbar(host, layer, group, first);
  }
  /** A button that puts a head in or out; with a double click it alone is left. */
  toggle(name, at) {
    const made2 = h("button", {
      type: "button",
      "aria-pressed": "true",
      "aria-label": `Head ${name}`,
      style: `--head:${distinct(at)}`,
      title: "click: show or hide; double click: this head alone",
      click: () => this.choose(made2, this.chosen.has(at) ? "without" : "with", at),
      dblclick: () => this.choose(made2, "alone", at)
    }, name);
    return made2;
  }
  choose(button, how, at) {
    if (how === "with") this.chosen.add(at);
    else if (how === "without") this.chosen.delete(at);
    else this.chosen = /* @__PURE__ */ new Set([at]);
    [...button.parentElement.children].forEach((one, i) => one.setAttribute("aria-pressed", `${this.chosen.has(i)}`));
    this.show();
  }
  columns(host) {
    const height = this.attention.rows * LINE;
    const drawing = svg("svg", { width: GAP, height, "aria-hidden": "true" }, this.lines);
    this.left.element.classList.add("column");
    const right = h("div", { class: "column seen", "aria-hidden": "true" }, ...this.right);
    const names = h("div", { class: "names" }, h("span", {}, "this token"), h("span", {}, "looks at"));
    const scroll = h("div", { class: "scroll" }, this.left.element, drawing, right);
    host.append(names, scroll);
  }
  show() {
    const { row } = this;
    this.links = [...this.chosen].sort((a, b) => a - b).flatMap((head) => this.of(head, row));
    this.lines.replaceChildren(...this.links.map((link) => this.line(link)));
    const taken = new Float32Array(this.attention.rows);
    for (const { to, weight } of this.links) taken[to] += weight / this.chosen.size;
    this.right.forEach((token, i) => {
      token.style.setProperty("--taken", `${Math.sqrt(taken[i])}`);
    });
    this.say(this.told(taken));
  }
  of(head, row) {
    const pattern = new Float32Array(this.attention.rows);
    this.attention.pattern(this.layer, head, row, pattern);
    const links = Array.from(pattern, (weight, to) => ({ head, from: row, to, weight }));
    return links.filter(({ to, weight }) => weight >= LEAST && (this.first || to > 0));
  }
  line({ head, from, to, weight }) {
    const y = (at) => (at + 0.5) * LINE;
    return svg("path", {
      d: `M0 ${y(from)} C${GAP / 2} ${y(from)} ${GAP / 2} ${y(to)} ${GAP} ${y(to)}`,
      stroke: distinct(head),
      "stroke-width": 1 + 5 * weight,
      "stroke-opacity": Math.sqrt(weight),
      fill: "none"
    });
  }
  told(taken) {
    const { tokens } = this.attention;
    const order = [...taken.keys()].filter((i) => taken[i] >= LEAST);
    order.sort((a, b) => taken[b] - taken[a]);
    const named = order.slice(0, NAMED).map((i) => `${tokens[i]} ${(100 * taken[i]).toFixed(1)} %`);
    const who = this.chosen.size === 1 ? "head" : `${this.chosen.size} heads, on average`;
    return `${this.row} ${tokens[this.row]} — ${who}: ${named.join(", ") || "nothing that is shown"}`;
  }
};
function attentionHead(host, figure) {
  const view = new HeadView(host, figure.data);
  return () => view.state;
}

// src/grid.css
var grid_default = ".pellucid-figure .cells { font-size: 13px; min-width: 100% }\n.pellucid-figure .cells [role=row] { display: grid; gap: 1px; margin-bottom: 1px;\n  grid-template-columns: 3.4em repeat(var(--columns), minmax(3.4em, 1fr)) }\n.pellucid-figure .cells bdi { font-size: 12px }\n.pellucid-figure .cells [role=rowheader], .pellucid-figure .cells [role=columnheader] { opacity: .85;\n  padding: 0 .4em; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; line-height: 20px }\n.pellucid-figure .cells [role=rowheader], .pellucid-figure .cells [role=columnheader]:first-child { text-align: right; font-variant-numeric: tabular-nums }\n.pellucid-figure .cells [role=gridcell] { height: 20px; line-height: 20px; padding: 0 .35em; overflow: hidden;\n  text-overflow: ellipsis; white-space: nowrap; cursor: pointer }\n.pellucid-figure .cells [role=gridcell]:hover { box-shadow: inset 0 0 0 2px rgb(128 128 128 / .8) }\n.pellucid-figure .cells [aria-selected=true] { box-shadow: inset 0 0 0 2px #c24e00 }\n.pellucid-figure .cells.square { min-width: 0 }\n.pellucid-figure .cells.square [role=row] { gap: 2px; margin-bottom: 2px;\n  grid-template-columns: 4.6em repeat(var(--columns), 24px) }\n.pellucid-figure .cells.square [role=gridcell] { height: 24px; background: rgb(128 128 128 / .08) }\n.pellucid-figure .cells.square [role=columnheader] { text-align: center; padding: 0 }\n";

// src/figures/ablation.css
var ablation_default = ".pellucid-figure .leading caption { text-align: left; font-weight: 600; padding: 0 0 .2em }\n.pellucid-figure .ablation { display: flex; flex-wrap: wrap; gap: 1em 2em; align-items: flex-start }\n.pellucid-figure .ablation .axis { margin: 0 0 0 4.6em }\n.pellucid-figure .ablation > .scroll { max-height: none; min-width: 0 }\n.pellucid-figure .leading td { padding: .12em 1.2em .12em 0 }\n";

// src/grid.ts
var STEPS2 = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0]
};
var GridView = class {
  constructor(grid, row, column) {
    this.grid = grid;
    this.row = row;
    this.column = column;
    this.element = h("div", {
      class: "cells",
      role: "grid",
      "aria-label": grid.name,
      "aria-rowcount": grid.rows.length + 1,
      "aria-colcount": grid.columns.length + 1
    });
    this.element.style.setProperty("--columns", `${this.count}`);
    this.element.addEventListener("click", (event) => this.onCell(event, (at) => this.pick(...at)));
    this.element.addEventListener("pointerover", (event) => this.onCell(event, (at) => grid.hovered(at, event)));
    this.element.addEventListener("pointerleave", () => grid.hovered(null));
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.redraw();
  }
  grid;
  row;
  column;
  element;
  first = 0;
  // column that is shown
  cells = [];
  get count() {
    return Math.min(this.grid.shown, this.grid.columns.length);
  }
  /** Draw all cells anew: their colours or texts have changed. */
  redraw() {
    const last = this.grid.columns.length - this.count;
    if (this.column < this.first || this.column >= this.first + this.count) {
      this.first = Math.min(Math.max(0, this.column - (this.count >> 1)), last);
    }
    const columns = Array.from({ length: this.count }, (_, i) => this.first + i);
    const header = h(
      "div",
      { role: "row" },
      h("span", { role: "columnheader" }, this.grid.corner),
      ...columns.map((i) => h(
        "span",
        { role: "columnheader", title: this.grid.columns[i] },
        h("bdi", {}, this.grid.columns[i])
      ))
    );
    this.cells = this.grid.rows.map((_, row) => columns.map((column) => this.made(row, column)));
    const rows = this.cells.map((cells, row) => h("div", { role: "row" }, h("span", { role: "rowheader" }, this.grid.rows[row]), ...cells));
    this.element.replaceChildren(header, ...rows);
  }
  made(row, column) {
    const { text, colour, label } = this.grid.cell(row, column);
    const picked = row === this.row && column === this.column;
    const made2 = h(
      "span",
      {
        role: "gridcell",
        "aria-label": label,
        "aria-selected": `${picked}`,
        "aria-colindex": column + 2,
        tabindex: picked ? 0 : -1
      },
      h("bdi", {}, text)
    );
    made2.style.background = colour;
    return made2;
  }
  onCell(event, then) {
    const found = event.target.closest("[role=gridcell]");
    const row = found ? this.cells.findIndex((cells) => cells.includes(found)) : -1;
    if (row >= 0) then([row, this.first + this.cells[row].indexOf(found)]);
  }
  key(event) {
    const { rows, columns } = this.grid;
    const ends = { Home: 0, End: columns.length - 1 };
    const step = STEPS2[event.key], end = ends[event.key];
    if (!step && end === void 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const [down, across] = step ?? [0, end - this.column];
    this.pick(clamp(this.row + down, rows.length), clamp(this.column + across, columns.length));
  }
  pick(row, column) {
    this.mark(false);
    Object.assign(this, { row, column });
    if (column < this.first || column >= this.first + this.count) this.redraw();
    this.mark(true);
    this.at()?.focus();
    this.grid.picked(row, column);
  }
  at() {
    return this.cells[this.row]?.[this.column - this.first];
  }
  mark(on) {
    this.at()?.setAttribute("aria-selected", `${on}`);
    this.at()?.setAttribute("tabindex", on ? "0" : "-1");
  }
};
function clamp(at, count) {
  return Math.min(Math.max(at, 0), count - 1);
}

// src/words.ts
function percent(share) {
  return share > 0 && share < 5e-5 ? "< 0.01 %" : `${(100 * share).toFixed(2)} %`;
}
function likelyTable(caption, rows, mark) {
  const lines = rows.map(({ word, share }) => h(
    "tr",
    { class: word === mark ? "picked" : null },
    h("td", {}, h("bdi", {}, word)),
    h("td", { class: "n" }, percent(share)),
    h("td", { class: "bars" }, h("span", { style: `width:${(100 * share).toFixed(2)}%` }))
  ));
  return h("table", { class: "likely" }, h("caption", {}, caption), h("tbody", {}, ...lines));
}

// src/figures/ablation.ts
var SHOWN = 40;
var LISTED = 10;
var DEEPEST = 2;
var AblationView = class {
  constructor(host, data) {
    this.host = host;
    this.data = data;
    const { heads, layers, changes } = data;
    this.order = [...changes.values.keys()].sort((a, b) => Math.abs(changes.values[b]) - Math.abs(changes.values[a]));
    host.append(h("style", {}, grid_default + ablation_default), h("p", { class: "quiet" }, data.says));
    this.say = status(host);
    const lead = this.order[0], width = heads + 1;
    this.grid = new GridView({
      name: "Heads and MLPs, by layer",
      corner: "part",
      rows: Array.from({ length: width }, (_, i) => this.part(i)),
      columns: Array.from({ length: layers }, (_, i) => `${i}`),
      shown: SHOWN,
      cell: (row, layer) => this.cell(row, layer),
      picked: (row, layer) => this.say(this.told(row, layer)),
      hovered: (at) => this.say(at ? this.told(...at) : this.told(this.grid.row, this.grid.column))
    }, lead % width, Math.floor(lead / width));
    this.grid.element.classList.add("square");
    host.append(h(
      "div",
      { class: "ablation" },
      h("div", { class: "scroll" }, h("div", {}, h("p", { class: "axis" }, "layer"), this.grid.element)),
      this.list()
    ));
    const redraw = () => void requestAnimationFrame(() => this.grid.redraw());
    onTheme(redraw);
    redraw();
    this.say(this.told(this.grid.row, this.grid.column));
  }
  host;
  data;
  grid;
  say;
  order;
  get state() {
    const { row, column } = this.grid;
    return { layer: column, part: this.part(row), change: this.change(row, column), leading: this.leading() };
  }
  part(row) {
    return row === this.data.heads ? "MLP" : `head ${row}`;
  }
  change(row, layer) {
    return this.data.changes.values[layer * (this.data.heads + 1) + row];
  }
  cell(row, layer) {
    const change = this.change(row, layer);
    const strength = Math.sign(change) * Math.sqrt(Math.abs(change) / DEEPEST);
    return { text: "", colour: signedColour(strength, isDark(this.host)), label: this.told(row, layer) };
  }
  told(row, layer) {
    const change = this.change(row, layer), { logprob, logits, heads } = this.data;
    const logit = logits.values[layer * (heads + 1) + row];
    return `Without ${this.part(row)} of layer ${layer}: probability ${percent(Math.exp(logprob + change))} instead of ${percent(Math.exp(logprob))}, its logit changes by ${logit < 0 ? "−" : "+"}${Math.abs(logit).toFixed(2)}`;
  }
  leading() {
    const width = this.data.heads + 1;
    return this.order.slice(0, LISTED).map((at) => `layer ${Math.floor(at / width)} ${this.part(at % width)}`);
  }
  list() {
    const rows = this.leading().map((name, i) => h(
      "tr",
      {},
      h("td", {}, name),
      h("td", { class: "n" }, percent(Math.exp(this.data.logprob + this.data.changes.values[this.order[i]])))
    ));
    return h("table", { class: "leading" }, h("caption", {}, "Largest changes: the probability without"), h("tbody", {}, ...rows));
  }
};
function ablation(host, figure) {
  const view = new AblationView(host, figure.data);
  return () => view.state;
}

// src/words.css
var words_default = ".pellucid-figure .likely caption { text-align: left; font-weight: 600; padding: 0 0 .2em }\n.pellucid-figure .bars { width: 12em; padding-right: 0 }\n.pellucid-figure .bars span { display: block; height: .75em; border-radius: .15em; background: #2f86e0 }\n.pellucid-figure .likely { width: 100% }\n.pellucid-figure .likely bdi { display: inline-block; max-width: 12em; overflow: hidden; text-overflow: ellipsis;\n  vertical-align: bottom }\n.pellucid-figure .likely .picked { background: rgb(240 150 0 / .22) }\n";

// src/figures/lens.css
var lens_default = ".pellucid-figure .lens { display: flex; flex-wrap: wrap; gap: 1em 2em; align-items: flex-start }\n.pellucid-figure .lens .beside { flex: 0 1 21em; min-width: 15em }\n.pellucid-figure .lens .bars { width: 7em }\n.pellucid-figure .lens > .scroll { flex: 1 1 36em; max-height: none; min-width: 0 }\n.pellucid-figure .lens figure { margin: 1.2em 0 0 }\n.pellucid-figure .path { margin-top: .3em }\n.pellucid-figure .path span { display: block; height: 5px; margin-bottom: 1px;\n  background: linear-gradient(to right, rgb(30 130 240 / .85) calc(100% * var(--share)),\n  rgb(128 128 128 / .12) calc(100% * var(--share))) }\n.pellucid-figure .path .picked { outline: 2px solid #c24e00 }\n.pellucid-figure .lens figcaption { font-weight: 600 }\n";

// src/tint.ts
var DEEPEST2 = 0.55;
var INK2 = {
  light: { share: "8 64 160", more: "232 96 0", less: "8 64 160" },
  dark: { share: "90 160 235", more: "235 140 60", less: "90 160 235" }
};
function ink(name, strength, dark) {
  return `rgb(${INK2[dark ? "dark" : "light"][name]} / ${(DEEPEST2 * Math.min(strength, 1)).toFixed(3)})`;
}
function shareTint(share, dark) {
  return ink("share", share, dark);
}
function signedTint(value, dark) {
  return ink(value < 0 ? "less" : "more", Math.abs(value), dark);
}

// src/tooltip.ts
var Tooltip = class {
  box = h("div", { class: "tooltip", "aria-hidden": "true" });
  constructor(host) {
    this.box.hidden = true;
    host.append(this.box);
  }
  /** Show it beside a place of the window. */
  show(text, x, y) {
    this.box.textContent = text;
    this.box.hidden = false;
    const { width, height } = this.box.getBoundingClientRect();
    const left = Math.min(x + 14, innerWidth - width - 4);
    const top = y + 18 + height > innerHeight ? y - height - 8 : y + 18;
    Object.assign(this.box.style, { left: `${Math.max(left, 4)}px`, top: `${top}px` });
  }
  hide() {
    this.box.hidden = true;
  }
};

// src/figures/lens.ts
var SHOWN2 = 14;
var MODES = ["what it would say", "how likely it holds what follows"];
var LensView = class {
  constructor(host, data) {
    this.host = host;
    this.data = data;
    this.stages = data.top.shape[0];
    toolbar(host, choice("Colour", MODES, 0, (to) => {
      this.mode = to;
      this.grid.redraw();
    }));
    this.say = status(host);
    const layers = Array.from({ length: this.stages }, (_, i) => this.stages - 1 - i);
    this.grid = new GridView({
      name: "What each layer would say after each token",
      corner: "layer",
      rows: layers.map(String),
      columns: data.tokens,
      shown: SHOWN2,
      cell: (row, column) => this.cell(layers[row], column),
      picked: () => this.show(),
      hovered: (at, event) => this.hover(at && [layers[at[0]], at[1]], event)
    }, 0, data.tokens.length - 1);
    this.tooltip = new Tooltip(host);
    const place = h("div", { class: "scroll" }, this.grid.element);
    host.append(h("style", {}, grid_default + words_default + lens_default), h("div", { class: "lens" }, place, this.panel));
    const redraw = () => void requestAnimationFrame(() => this.grid.redraw());
    onTheme(redraw);
    redraw();
    this.show();
  }
  host;
  data;
  mode = 0;
  grid;
  panel = h("div", { class: "beside" });
  say;
  tooltip;
  stages;
  get state() {
    const { layer, token } = this, { words, tokens, ranks } = this.data;
    const cells = tokens.map((_, i) => words[this.likeliest(layer, i)]);
    return { layer, token, likely: this.likely(layer, token), cells, rank: ranks.values[this.place(layer, token)] };
  }
  get layer() {
    return this.stages - 1 - this.grid.row;
  }
  get token() {
    return this.grid.column;
  }
  place(layer, token) {
    return layer * this.data.tokens.length + token;
  }
  likeliest(layer, token) {
    return this.data.top.values[this.place(layer, token) * this.data.top.shape[2]];
  }
  likely(layer, token) {
    const { top, shares, words } = this.data, width = top.shape[2], from = this.place(layer, token) * width;
    return Array.from({ length: width }, (_, i) => ({ word: words[top.values[from + i]], share: shares.values[from + i] }));
  }
  cell(layer, token) {
    const [first] = this.likely(layer, token), held = Math.exp(this.data.logprobs.values[this.place(layer, token)]);
    const share = this.mode ? held : first.share;
    return {
      text: first.word,
      colour: shareTint(share, isDark(this.host)),
      label: `after layer ${layer}, token ${token}: ${first.word} ${percent(first.share)}`
    };
  }
  hover(at, event) {
    if (!at || !event) return this.tooltip.hide();
    const named = this.likely(...at).map(({ word, share }) => `${word} ${percent(share)}`);
    this.tooltip.show(`layer ${at[0]}, after ${this.data.tokens[at[1]]}: ${named.join(", ")}`, event.clientX, event.clientY);
  }
  show() {
    const { layer, token } = this, { tokens, words, targets, logprobs, ranks } = this.data;
    const target = words[targets.values[token]], place = this.place(layer, token);
    const what = token + 1 < tokens.length ? `${target}, which follows` : `${target}, the model's choice`;
    const after = layer ? `After layer ${layer}` : "Before the first layer";
    this.say(`${after}, at ${token} ${tokens[token]} — ${what}, has ${percent(Math.exp(logprobs.values[place]))}, number ${ranks.values[place]} in line`);
    const caption = `${after}, after ${tokens[token]}`;
    this.panel.replaceChildren(likelyTable(caption, this.likely(layer, token), target), this.path(token));
  }
  /** How likely each layer holds what follows: a line from below upwards. */
  path(token) {
    const rows = Array.from({ length: this.stages }, (_, i) => this.stages - 1 - i).map((layer) => {
      const share = Math.exp(this.data.logprobs.values[this.place(layer, token)]);
      return h("span", { class: layer === this.layer ? "picked" : null, style: `--share:${share.toFixed(4)}` });
    });
    const target = this.data.words[this.data.targets.values[token]];
    const told = `How likely each layer holds ${target}, the last one on top`;
    return h("figure", {}, h("figcaption", {}, told), h("div", { class: "path", role: "img", "aria-label": told }, ...rows));
  }
};
function lens(host, figure) {
  const view = new LensView(host, figure.data);
  return () => view.state;
}

// src/figures/next.css
var next_default = ".pellucid-figure .likely.next { max-width: 52em }\n.pellucid-figure .next .bars { width: 40% }\n.pellucid-figure tr.cut { opacity: .7 }\n";

// src/figures/next.ts
var TOP_P = Array.from({ length: 20 }, (_, i) => (i + 1) / 20);
var NextTokens = class {
  constructor(host, data) {
    this.data = data;
    this.heat = data.temperatures.indexOf(1);
    this.list = tokenList(data.tokens, "After which token", data.position, { picked: () => this.show() });
    toolbar(
      host,
      slider("Temperature", data.temperatures.map((t) => t.toFixed(1)), this.heat, (to) => {
        this.heat = to;
        this.show();
      }),
      slider("Top-p", TOP_P.map((p) => p === 1 ? "off" : p.toFixed(2)), this.nucleus, (to) => {
        this.nucleus = to;
        this.show();
      })
    );
    this.say = status(host);
    host.append(h("style", {}, words_default + next_default), this.list.element, this.table);
    this.show();
  }
  data;
  heat;
  nucleus = TOP_P.length - 1;
  list;
  table = h("div", {});
  say;
  get state() {
    const { top, logprobs, words, temperatures, tempered } = this.data;
    const width = top.shape[1], from = this.list.at * width, temperature = temperatures[this.heat];
    const total = tempered.values[this.list.at * temperatures.length + this.heat];
    const model = Array.from(logprobs.values.subarray(from, from + width));
    const heated = model.map((logprob) => Math.exp(logprob / temperature - total));
    const topP = TOP_P[this.nucleus], { drawn, mass } = cut(heated, topP);
    const rows = heated.map((share, i) => ({
      word: words[top.values[from + i]],
      model: Math.exp(model[i]),
      share: drawn === null || i < drawn ? share / mass : 0
    }));
    const rest = Math.max(0, 1 - heated.reduce((sum, share) => sum + share, 0));
    return { position: this.list.at, temperature, topP, rows, rest, drawn };
  }
  show() {
    const state = this.state, { data } = this, came = data.actual.values[state.position];
    const rows = state.rows.map((row, i) => line(row, i, i === came));
    const head = h(
      "tr",
      {},
      h("th", { class: "n" }, "rank"),
      h("th", {}, "token"),
      h("th", { class: "n" }, "the model's"),
      h("th", { class: "n" }, "drawn with"),
      h("td")
    );
    this.table.replaceChildren(h("table", { class: "likely next" }, h("thead", {}, head), h("tbody", {}, ...rows)));
    this.say(this.told(state, rows.length));
  }
  told({ position, topP, rest, drawn }, listed) {
    const after = `After ${position} ${this.data.tokens[position]}`;
    const others = `all ${this.data.vocabulary - listed} others have ${percent(rest)}`;
    if (topP === 1) return `${after}: every token may be drawn; ${others}.`;
    if (drawn !== null) return `${after}: ${drawn} token${drawn === 1 ? "" : "s"} in the draw; ${others} before the cut.`;
    return `${after}: these ${listed} and more are in the draw, how many is not known here; ${others} before the cut.`;
  }
};
function cut(shares, topP) {
  if (topP === 1) return { drawn: null, mass: 1 };
  let mass = 0;
  for (const [i, share] of shares.entries()) {
    mass += share;
    if (mass >= topP) return { drawn: i + 1, mass };
  }
  return { drawn: null, mass: topP };
}
function line({ word, model, share }, rank, came) {
  return h(
    "tr",
    { class: came ? "picked" : share ? null : "cut", title: came ? "this one came" : null },
    h("td", { class: "n" }, `${rank + 1}`),
    h("td", {}, h("bdi", {}, word)),
    h("td", { class: "n" }, percent(model)),
    h("td", { class: "n" }, share ? percent(share) : "cut off"),
    h("td", { class: "bars" }, h("span", { style: `width:${(100 * Math.min(share, 1)).toFixed(2)}%` }))
  );
}
function next(host, figure) {
  const view = new NextTokens(host, figure.data);
  return () => view.state;
}

// src/figures/surprise.css
var surprise_default = ".pellucid-figure .text-and-list { display: flex; flex-wrap: wrap; gap: 1em 2em; align-items: flex-start }\n.pellucid-figure .tokens.text { flex: 1 1 30em; max-height: min(40em, 70vh) }\n.pellucid-figure .tokens.text [role=option] { margin: 0 1px 2px 0; background: none }\n.pellucid-figure .tokens.text [aria-selected=true] { box-shadow: 0 0 0 2px rgb(30 130 240) }\n.pellucid-figure .text-and-list .beside { flex: 0 1 21em; min-width: 15em }\n.pellucid-figure .text-and-list .bars { width: 7em }\n";

// src/figures/surprise.ts
var MOST_BITS = 16;
var SurpriseView = class {
  constructor(host, data) {
    this.host = host;
    this.data = data;
    const first = data.tokens.length > 1 ? data.bits.values.indexOf(Math.max(...data.bits.values)) : 0;
    this.list = tokenList(data.tokens, "The text", first, {
      picked: () => {
        this.hovered = null;
        this.show();
      },
      hovered: (at) => {
        this.hovered = at;
        this.show();
      }
    });
    this.list.element.classList.add("text");
    this.say = status(host);
    host.append(h("style", {}, words_default + surprise_default), h("div", { class: "text-and-list" }, this.list.element, this.panel));
    requestAnimationFrame(() => this.tint());
    onTheme(() => requestAnimationFrame(() => this.tint()));
    this.show();
  }
  host;
  data;
  list;
  panel = h("div", { class: "beside" });
  say;
  hovered = null;
  get at() {
    return this.hovered ?? this.list.at;
  }
  expected(at) {
    const { expected, shares, words } = this.data, top = expected.shape[1];
    if (!at) return [];
    return Array.from({ length: top }, (_, i) => {
      const place = (at - 1) * top + i;
      return { word: words[expected.values[place]], share: shares.values[place] };
    });
  }
  tint() {
    const dark = isDark(this.host);
    this.list.items.forEach((item, i) => {
      item.style.background = signedTint(this.data.bits.values[i] / MOST_BITS, dark);
    });
  }
  show() {
    const { at, data } = this, word = data.tokens[at];
    this.say(this.told(at));
    const expected = this.expected(at);
    this.panel.replaceChildren(...expected.length ? [likelyTable("What was expected here", expected, word)] : []);
  }
  told(at) {
    const { tokens, bits, ranks, entropy, perplexity } = this.data;
    if (!at) return `0 ${tokens[0]} — the first token: nothing is before it`;
    const surprise2 = bits.values[at], whole = perplexity === null ? "" : `; of the text: perplexity ${perplexity.toFixed(1)}`;
    return `${at} ${tokens[at]} — ${surprise2.toFixed(1)} bits of surprise (${percent(2 ** -surprise2)}), number ${ranks.values[at]} in line; ${entropy.values[at].toFixed(1)} bits were to be expected${whole}`;
  }
};
function surprise(host, figure) {
  const view = new SurpriseView(host, figure.data);
  return () => ({ at: view.at, bits: [...figure.data.bits.values], expected: view.expected(view.at) });
}

// src/figures/why.css
var why_default = '.pellucid-figure .why { display: flex; flex-wrap: wrap; gap: 1em 2em; align-items: flex-start }\n.pellucid-figure .writers tr { cursor: pointer }\n.pellucid-figure .writers tbody tr:hover { background: rgb(128 128 128 / .15) }\n.pellucid-figure .writers [aria-selected=true] { background: rgb(30 130 240 / .2) }\n.pellucid-figure .signed { position: relative; width: 13em; padding-right: 0 }\n.pellucid-figure .signed::before { content: ""; position: absolute; left: 50%; top: 0; bottom: 0;\n  border-left: 1px solid rgb(128 128 128 / .6) }\n.pellucid-figure .signed span { position: absolute; top: .3em; height: .9em; border-radius: .15em }\n.pellucid-figure .signed .more { background: #d55e00 }\n.pellucid-figure .signed .less { background: #2f86e0 }\n.pellucid-figure .writers .n { white-space: nowrap }\n.pellucid-figure .why > div:first-child { flex: 1 1 34em }\n.pellucid-figure .why > div:last-child { flex: 1 1 24em; max-width: 30em }\n.pellucid-figure .why figure { margin: 0 0 1em }\n.pellucid-figure .why figcaption { font-weight: 600 }\n.pellucid-figure .sum { width: 100%; max-width: 30em; display: block }\n.pellucid-figure .sum line { stroke: rgb(128 128 128 / .6) }\n.pellucid-figure .sum polyline { fill: none; stroke: #2f86e0; stroke-width: 2 }\n.pellucid-figure .sum circle { fill: #2f86e0 }\n.pellucid-figure .sum text { fill: currentcolor; font-size: 12px; opacity: .8 }\n.pellucid-figure .pieces { line-height: 2; max-height: 14em; overflow: auto }\n.pellucid-figure .pieces bdi { display: inline-block; line-height: 1.5; padding: 0 .15em; border-radius: .2em; margin-right: 1px }\n.pellucid-figure .middle { text-align: center; padding-right: 0 }\n';

// src/figures/why.ts
var SHOWN3 = 20;
var WIDTH = 420;
var HEIGHT = 190;
var WhyView = class {
  constructor(host, data) {
    this.host = host;
    this.data = data;
    this.most = Math.max(...data.writers.map(({ added }) => Math.abs(added)), 1e-9);
    const lead = data.writers.findIndex(({ kind }) => kind === "head");
    this.at = lead >= 0 && lead < SHOWN3 ? lead : 0;
    host.append(h("style", {}, why_default), h("p", { class: "quiet" }, data.says));
    this.say = status(host);
    host.append(h("div", { class: "why" }, this.list, h("div", {}, this.line(), this.panel)));
    this.list.addEventListener("click", (event) => this.pick(this.rowOf(event)));
    this.list.addEventListener("keydown", (event) => this.key(event));
    onTheme(() => requestAnimationFrame(() => this.show()));
    requestAnimationFrame(() => this.show());
    this.draw();
  }
  host;
  data;
  at = 0;
  count = SHOWN3;
  rows = [];
  list = h("div", {});
  panel = h("div", { class: "from" });
  say;
  most;
  get state() {
    const { writers, cumulative } = this.data;
    const bars = writers.slice(0, this.count).map(({ name, added }) => ({ name, added, width: Math.abs(added) / this.most }));
    return { picked: writers[this.at].name, bars, sources: this.sources(), line: [...cumulative] };
  }
  /** What the picked head adds, by the token that it took it from; null where it is no head. */
  sources() {
    const { layer, head } = this.data.writers[this.at], { values, shape } = this.data.sources;
    if (layer === null || head === null) return null;
    const [, heads, tokens] = shape, from = (layer * heads + head) * tokens;
    return Array.from(values.subarray(from, from + tokens));
  }
  draw() {
    const names = ["layer", "writer", "adds", "takes | adds", "logit without", "prob. without"];
    const head = h("tr", {}, ...names.map((name, i) => h("th", { class: i === 1 ? null : i === 3 ? "middle" : "n" }, name)));
    this.rows = this.data.writers.slice(0, this.count).map((writer, i) => this.row(writer, i));
    const more = h(
      "button",
      { type: "button", click: () => this.more() },
      `${Math.min(SHOWN3, this.data.writers.length - this.count)} more`
    );
    this.list.replaceChildren(
      h(
        "table",
        { class: "writers", role: "grid", "aria-label": "Writers of the logit" },
        h("thead", {}, head),
        h("tbody", {}, ...this.rows)
      ),
      ...this.count < this.data.writers.length ? [more] : []
    );
    this.show();
  }
  more() {
    this.count = Math.min(this.count + SHOWN3, this.data.writers.length);
    this.draw();
    this.rows[this.count - SHOWN3]?.focus();
  }
  row({ layer, kind, head, added, logit, prob }, i) {
    const part = head === null ? kind : `${kind} ${head}`, share = 50 * Math.abs(added) / this.most;
    const bar = h("span", {
      class: added < 0 ? "less" : "more",
      style: `width:${share.toFixed(2)}%;${added < 0 ? "right" : "left"}:50%`
    });
    const cells = [
      `${layer ?? ""}`,
      part,
      signed(added),
      bar,
      logit === null ? "" : logit.toFixed(2),
      prob === null ? "" : percent(prob)
    ];
    return h(
      "tr",
      { tabindex: i === this.at ? 0 : -1, "aria-selected": `${i === this.at}` },
      ...cells.map((cell, n) => h("td", { class: n === 3 ? "signed" : n === 1 ? null : "n" }, cell))
    );
  }
  rowOf(event) {
    return this.rows.indexOf(event.target.closest("tbody tr"));
  }
  key(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.pick(Math.min(Math.max(this.at + step, 0), this.rows.length - 1));
  }
  pick(at) {
    if (at < 0) return;
    this.mark(false);
    this.at = at;
    this.mark(true);
    this.rows[at].focus();
    this.show();
  }
  mark(on) {
    this.rows[this.at].setAttribute("aria-selected", `${on}`);
    this.rows[this.at].setAttribute("tabindex", on ? "0" : "-1");
  }
  show() {
    const writer = this.data.writers[this.at], sources = this.sources();
    this.say(this.told(writer));
    this.panel.replaceChildren(...sources ? this.taken(writer, sources) : [h("p", { class: "quiet" }, "Pick a head to see from which tokens it took what it adds.")]);
  }
  taken({ layer, head, added }, sources) {
    const most = Math.max(...sources.map(Math.abs), 1e-9), dark = isDark(this.host);
    const pieces = this.data.tokens.map((token, i) => {
      const made2 = h("bdi", { title: `${i}: ${signed(sources[i])}` }, token);
      made2.style.background = signedTint(sources[i] / most, dark);
      return made2;
    });
    const order = [...sources.keys()].sort((a, b) => Math.abs(sources[b]) - Math.abs(sources[a])).slice(0, 3);
    const named = order.map((i) => `${i} ${this.data.tokens[i]} ${signed(sources[i])}`);
    return [
      h("p", {}, `Head ${head} of layer ${layer} took its ${signed(added)} from: ${named.join(", ")}`),
      h("div", { class: "pieces", tabindex: 0, role: "group", "aria-label": "By token" }, ...pieces)
    ];
  }
  told({ name, added, logit, prob }) {
    const then = logit === null || prob === null ? "not silenced here" : `silenced in this row, the logit goes from ${this.data.whole.toFixed(2)} to ${logit.toFixed(2)} and the probability from ${percent(this.data.prob)} to ${percent(prob)}`;
    return `${name} adds ${signed(added)} of ${this.data.logit.toFixed(2)} — ${then}`;
  }
  /** The sum after each layer. */
  line() {
    const { cumulative } = this.data, low = Math.min(0, ...cumulative), high = Math.max(0, ...cumulative);
    const x = (i) => 34 + (WIDTH - 44) * i / Math.max(1, cumulative.length - 1);
    const y = (value) => 10 + (HEIGHT - 34) * (high - value) / (high - low || 1);
    const points = cumulative.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const text = (at, value, words, anchor = "end") => svg("text", { x: at, y: value + 4, "text-anchor": anchor }, words);
    const last = cumulative.length - 1;
    const drawing = svg(
      "svg",
      {
        class: "sum",
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        "aria-label": `The logit layer by layer: ${cumulative.map((v) => v.toFixed(1)).join(", ")}`
      },
      svg("line", { x1: 34, x2: WIDTH - 10, y1: y(0), y2: y(0) }),
      svg("polyline", { points }),
      ...cumulative.map((value, i) => svg("circle", { cx: x(i), cy: y(value), r: 2.4 }, svg("title", {}, `after ${i}: ${value.toFixed(2)}`))),
      text(28, y(0), "0"),
      text(28, y(cumulative[last]), cumulative[last].toFixed(1)),
      text(x(0), HEIGHT - 10, "0", "middle"),
      text(x(last), HEIGHT - 10, `${last}`, "middle"),
      text((x(0) + x(last)) / 2, HEIGHT - 10, "layers that have written", "middle")
    );
    return h("figure", {}, h("figcaption", {}, "The logit, summed layer by layer"), drawing);
  }
};
function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}
function why(host, figure) {
  const view = new WhyView(host, figure.data);
  return () => view.state;
}

// src/figures/index.ts
var figures = {
  "attention-head": attentionHead,
  ablation,
  lens,
  next,
  surprise,
  why
};

// src/figure.css
var figure_default = "/* Tints over the page's own background, under its own text colour, as in look/html.py. */\n.pellucid-figure { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 0 auto 2.5em;\n  text-align: left; position: relative }\n.pellucid-figure h2 { font-size: 1.35em; font-weight: 650; line-height: 1.25; margin: 0 0 .15em }\n.pellucid-figure p { margin: .3em 0 }\n.pellucid-figure .hint { opacity: .8; margin: 0 0 .8em; max-width: 62em }\n.pellucid-figure .quiet { opacity: .75 }\n.pellucid-figure bdi, .pellucid-figure code { font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace;\n  white-space: pre }\n.pellucid-figure .toolbar { display: flex; flex-wrap: wrap; align-items: center; gap: .4em 1.2em;\n  margin: 0 0 .7em; min-height: 2em }\n.pellucid-figure .slider { display: inline-flex; align-items: center; gap: .5em }\n.pellucid-figure .slider output { min-width: 1.6em; font-variant-numeric: tabular-nums; font-weight: 600 }\n.pellucid-figure .slider input { width: 12em; margin: 0; accent-color: #0072b2 }\n.pellucid-figure button, .pellucid-figure select { font: inherit; color: inherit;\n  background: rgb(128 128 128 / .14); border: 1px solid rgb(128 128 128 / .45); border-radius: .35em;\n  padding: .1em .6em; cursor: pointer }\n.pellucid-figure select option { color: CanvasText; background: Canvas }\n.pellucid-figure button:hover, .pellucid-figure select:hover { background: rgb(128 128 128 / .28) }\n.pellucid-figure input[type=checkbox] { accent-color: #0072b2; margin: 0 }\n.pellucid-figure :focus-visible { outline: 3px solid #e69f00; outline-offset: 1px; border-radius: .2em }\n.pellucid-figure .status { min-height: 1.5em; font-variant-numeric: tabular-nums }\n.pellucid-figure canvas { display: block }\n.pellucid-figure table { border-collapse: collapse; font-variant-numeric: tabular-nums }\n.pellucid-figure th, .pellucid-figure td { padding: .1em 1em .1em 0; text-align: left; font-weight: 400 }\n.pellucid-figure th { opacity: .75; border-bottom: 1px solid rgb(128 128 128 / .5) }\n.pellucid-figure .n { text-align: right }\n.pellucid-figure .tooltip { position: fixed; z-index: 9; pointer-events: none; max-width: 32em;\n  padding: .25em .6em; border-radius: .35em; color: CanvasText; background: Canvas;\n  border: 1px solid rgb(128 128 128 / .6); box-shadow: 0 2px 8px rgb(0 0 0 / .2);\n  font-variant-numeric: tabular-nums }\n.pellucid-figure .tokens { line-height: 2; overflow-wrap: anywhere; max-height: 12em; overflow: auto;\n  padding: 3px }\n.pellucid-figure .tokens [role=option] { display: inline-block; line-height: 1.5; padding: 0 .2em;\n  margin: 0 1px; border-radius: .25em; background: rgb(128 128 128 / .12); cursor: pointer }\n.pellucid-figure .tokens [role=option]:hover { background: rgb(128 128 128 / .3) }\n.pellucid-figure .tokens [aria-selected=true] { background: rgb(30 130 240 / .35);\n  box-shadow: inset 0 -2px rgb(30 130 240) }\n.pellucid-figure .wrong { padding: .6em 1em; border-left: 4px solid #d55e00;\n  background: rgb(213 94 0 / .12) }\n.pellucid-figure .heads { display: inline-flex; flex-wrap: wrap; gap: .25em; align-items: center }\n.pellucid-figure .heads button { min-width: 2.2em; border-bottom: 4px solid var(--head) }\n.pellucid-figure .heads button[aria-pressed=false] { opacity: .6; border-bottom-color: transparent }\n.pellucid-figure .names { display: flex; gap: 340px }\n.pellucid-figure .names span { width: 12em; opacity: .75 }\n.pellucid-figure .names span:first-child { text-align: right }\n.pellucid-figure .scroll { display: flex; align-items: flex-start; max-height: 34em; overflow: auto }\n.pellucid-figure .tokens.column, .pellucid-figure .column { width: 12em; flex: none; max-height: none;\n  overflow: visible; padding: 0; line-height: 24px }\n.pellucid-figure .tokens.column [role=option], .pellucid-figure .seen div { display: block;\n  height: 24px; line-height: 24px; margin: 0; padding: 0 .5em; overflow: hidden; text-overflow: ellipsis;\n  white-space: nowrap; background: none }\n.pellucid-figure .tokens.column [role=option] { text-align: right }\n.pellucid-figure .tokens.column [role=option]:hover { background: rgb(128 128 128 / .2) }\n.pellucid-figure .tokens.column [aria-selected=true] { background: rgb(30 130 240 / .3) }\n.pellucid-figure .seen div { background: rgb(30 130 240 / calc(.5 * var(--taken, 0))) }\n.pellucid-figure .scroll svg { flex: none; display: block }\n";

// src/frame.ts
function frame(host, figure) {
  const id = unique("title");
  const inner = h("div", { class: "drawing" });
  const outer = h(
    "section",
    { class: "pellucid-figure", "aria-labelledby": id, dir: "ltr" },
    h("style", {}, figure_default),
    h("h2", { id }, figure.title),
    h("p", { class: "hint" }, figure.hint),
    inner
  );
  host.append(outer);
  return { outer, inner };
}

// src/main.ts
function draw(host, figure) {
  const { outer, inner } = frame(host, figure);
  const drawing = figures[figure.kind];
  if (!drawing) throw new Error(`no figure of kind ${figure.kind}`);
  return Object.assign(outer, { state: drawing(inner, figure) });
}
async function openPage() {
  const host = document.querySelector("main");
  try {
    const sent = JSON.parse(document.getElementById("figures").textContent);
    const buffers = await Promise.all([...document.querySelectorAll("script.array")].map(inflated));
    for (const figure of resolved(sent.figures, buffers)) draw(host, figure);
    document.documentElement.dataset.drawn = "";
  } catch (error) {
    host.append(h("p", { class: "wrong", role: "alert" }, `This page cannot be drawn: ${error}`));
    throw error;
  }
}
async function inflated(script) {
  const text = atob(script.textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}
function render({ model, el }) {
  const buffers = model.get("buffers").map((view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  draw(el, resolved(model.get("figure"), buffers));
}
var main_default = { render };
export {
  main_default as default,
  draw,
  openPage
};
