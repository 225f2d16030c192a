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
var DISTINCT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
function distinct(n) {
  return DISTINCT[n % DISTINCT.length];
}

// src/controls.ts
function toolbar(host, ...controls) {
  host.append(h("div", { class: "toolbar", role: "group", "aria-label": "Controls" }, ...controls));
}
function status(host) {
  const line = h("p", { class: "status", role: "status" });
  host.append(line);
  return (text) => {
    if (line.textContent !== text) line.textContent = text;
  };
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

// src/figures/index.ts
var figures = {
  "attention-head": attentionHead
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
