// One map: its columns, its view, what it shows and what it tells the server.

const MOST_ZOOM = 200;
const MOST_NAMES = 60; // on the map
const REACH = 7; // pixels around the pointer in which a cell counts as meant

function rgb(text, fallback) {
  const context = document.createElement("canvas").getContext("2d");
  context.fillStyle = fallback;
  context.fillStyle = text || fallback;
  const hex = context.fillStyle;
  if (hex.startsWith("#")) return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return hex.match(/[\d.]+/g).slice(0, 3).map(Number);
}

class ScatterMap {
  constructor(root, key) {
    this.root = root;
    this.key = key;
    this.stage = root.querySelector(".stage");
    this.overlay = root.querySelector(".overlay");
    this.tip = root.querySelector(".tip");
    this.ring = root.querySelector(".ring");
    this.message = root.querySelector(".message");
    this.legend = root.querySelector(".legend");
    this.hidden = new Set();
    this.path = [];
    this.gestures = 0;
    this.untold = [];
    this.asked = 0;
    this.tool = "lasso";
    this.mode = "replace";
    this.stop = new AbortController();
    this.painter = new Painter(root.querySelector(".points"));
    if (!this.painter.gl) {
      this.say("unsupported", NO_WEBGL);
      return;
    }
    this.buttons = drawTools(root.querySelector(".tools"), (name) => this.act(name));
    this.setTool("lasso");
    const { canvas } = this.painter, { signal } = this.stop;
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.lost = true;
      this.say("lost", "The graphics card was taken away; the map comes back as soon as it is there again.");
    }, { signal });
    canvas.addEventListener("webglcontextrestored", () => {
      this.lost = false;
      this.painter.prepare();
      this.uploaded = {};
      this.refresh();
    }, { signal });
    listen(this, signal);
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(this.stage);
    this.uploaded = {};
  }

  say(state, text) {
    this.root.dataset.state = state;
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  // New words from the server.
  update(data, send) {
    if (!this.painter.gl) return;
    const { header, body } = unpack(data);
    this.send = send;
    this.next = { view: header, bits: header.selected ? body : null };
    this.root.style.height = `${header.height}px`;
    this.root.querySelector(".title").textContent = header.title_of_map;
    this.root.querySelector(".title").title = header.title_of_map;
    this.stage.setAttribute("aria-label", header.alt);
    if (this.selects !== header.selects) {
      this.selects = header.selects;
      for (const name of [...TOOLS, ...OF_SELECTION]) this.buttons[name].hidden = !this.selects && name !== "pan";
      this.setTool(this.selects ? "lasso" : "pan");
    }
    this.join(header.group);
    this.readTheme();
    this.refresh();
    this.heard(header.heard);
  }

  join(group) {
    if (group === this.group && shared.groups.get(group)?.has(this)) return;
    this.leave();
    this.group = group;
    if (!group) return;
    if (!shared.groups.has(group)) shared.groups.set(group, new Set());
    shared.groups.get(group).add(this);
  }

  leave() {
    const group = shared.groups.get(this.group);
    group?.delete(this);
    if (group?.size === 0) shared.groups.delete(this.group);
  }

  others() {
    return [...(shared.groups.get(this.group) ?? [])].filter((map) => map !== this && map.points);
  }

  readTheme() {
    const style = getComputedStyle(this.root);
    const value = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
    const text = (colour) => `rgb(${colour.join(",")})`;
    const ground = rgb(value("--st-background-color"), "#ffffff"), ink = rgb(value("--st-text-color"), "#222222");
    const accent = rgb(value("--st-primary-color"), "#12626b");
    this.theme = {
      ground, ink, groundText: text(ground), inkText: text(ink), accentText: text(accent),
      font: value("--st-font", "sans-serif"),
      dim: ground.map((part, i) => Math.round(0.76 * part + 0.24 * ink[i])),
    };
  }

  // Words and columns come in messages of their own: what is on the screen changes when all are there.
  refresh() {
    if (this.lost || !this.next) return;
    const { view, bits } = this.next, before = this.view;
    const points = readPoints(view.points), codes = readCodes(view.codes);
    if (!points || !codes) {
      shared.waiting.add(this);
      return;
    }
    shared.waiting.delete(this);
    const same = before?.title === view.title
      && JSON.stringify(before.categories) === JSON.stringify(view.categories);
    if (!same) this.hidden.clear();
    this.view = view;
    const { uploaded, painter } = this;
    if (uploaded.points !== points.token) {
      if (this.points?.token !== points.token) {
        this.points = points;
        this.ring.hidden = this.tip.hidden = true;
        const kept = shared.views.get(this.key);
        this.at = kept?.token === points.token ? { ...kept.at } : { x: 0.5, y: 0.5, zoom: 1 };
      }
      painter.setPoints(points.xy);
      uploaded.points = points.token;
      this.cost = null;
    }
    if (uploaded.codes !== codes.token) {
      painter.setCodes(codes.codes);
      this.codes = codes.codes;
      uploaded.codes = codes.token;
    }
    const named = view.categories && view.categories.length <= MOST_NAMES;
    const placesOf = named ? `${points.token} ${codes.token}` : "";
    if (placesOf !== this.placesOf) {
      this.placesOf = placesOf;
      this.places = null;
    }
    this.dim = bits ? dimmed(bits, points.n) : null;
    painter.setDim(this.dim);
    this.showLevels();
    this.showModes();
    this.say("ready", "");
    this.resize();
    this.schedule();
  }

  get grid() {
    if (!this.points.grid) this.points.grid = new Grid(this.points); // maps of the same cells share it
    return this.points.grid;
  }

  showLevels() {
    const { view, hidden } = this;
    const colours = new Uint8Array(view.palette.length * 4);
    view.palette.forEach((hex, code) => {
      const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
      const alpha = hex.length > 7 ? Math.max(1, parseInt(hex.slice(7, 9), 16)) : 255;
      colours.set([...parts, hidden.has(code) ? 0 : alpha], code * 4);
    });
    this.painter.setPalette(colours);
    const change = (next) => () => {
      next();
      this.showLevels();
      this.schedule();
    };
    drawLegend(this.legend, view, hidden, {
      toggle: (code) => change(() => hidden.delete(code) || hidden.add(code))(),
      isolate: (code) => change(() => {
        const alone = !hidden.has(code) && hidden.size === view.categories.length - 1;
        hidden.clear();
        if (!alone) view.categories.forEach((_, other) => other !== code && hidden.add(other));
      })(),
      showAll: change(() => hidden.clear()),
    });
    this.evenLegends();
  }

  // Maps side by side are of one size: a legend below the map takes the room of the tallest one.
  evenLegends() {
    const top = (map) => map.root.getBoundingClientRect().top;
    const beside = [this, ...this.others()].filter((map) => Math.abs(top(map) - top(this)) < 4);
    for (const { legend } of beside) legend.style.minHeight = "";
    const below = beside.filter((map) => map.legend.offsetTop > map.stage.offsetTop);
    const tallest = Math.max(...below.map(({ legend }) => legend.offsetHeight));
    for (const { legend } of below) legend.style.minHeight = `${tallest}px`;
  }

  showModes() {
    for (const name of OF_SELECTION) this.buttons[name].disabled = this.dim === null && !this.gestures;
  }

  // --- the view: `at` is its middle in 0..1 of the bounding box and the zoom; 1 shows all ---

  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    if (width !== this.width && this.view) this.evenLegends();
    const ratio = Math.min(this.painter.software ? 1 : 2, window.devicePixelRatio || 1);
    const sharp = Math.min(2, window.devicePixelRatio || 1);
    const { canvas } = this.painter;
    if (canvas.width === Math.round(width * ratio) && canvas.height === Math.round(height * ratio)) return;
    this.width = width;
    this.height = height;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    this.overlay.width = Math.round(width * sharp);
    this.overlay.height = Math.round(height * sharp);
    this.cost = null;
    if (!this.points) return;
    this.schedule(); // in this frame: a resized canvas is blank
  }

  scale() {
    const { x, y } = this.points; // the same pixels a unit on both axes, with a margin
    const fit = Math.min(this.width / (x[1] - x[0]), this.height / (y[1] - y[0])) * 0.94;
    return [fit * this.at.zoom * (x[1] - x[0]), fit * this.at.zoom * (y[1] - y[0])];
  }

  toScreen = (u, v) => {
    const [sx, sy] = this.scale();
    return [this.width / 2 + (u - this.at.x) * sx, this.height / 2 - (v - this.at.y) * sy];
  };

  toMap(px, py) {
    const [sx, sy] = this.scale();
    return [this.at.x + (px - this.width / 2) / sx, this.at.y - (py - this.height / 2) / sy];
  }

  move(at, told = false) {
    const zoom = Math.max(0.5, Math.min(MOST_ZOOM, at.zoom));
    const within = (value) => Math.max(-0.2, Math.min(1.2, value));
    this.at = { x: within(at.x), y: within(at.y), zoom };
    shared.views.set(this.key, { token: this.points.token, at: this.at });
    this.hover(-1, null);
    this.schedule(true);
    if (told) return;
    for (const map of this.others()) if (map.points.token === this.points.token) map.move(this.at, true);
  }

  panBy(dx, dy) {
    const [sx, sy] = this.scale();
    this.move({ x: this.at.x - dx / sx, y: this.at.y + dy / sy, zoom: this.at.zoom });
  }

  zoomAt(ratio, px, py) {
    const [u, v] = this.toMap(px, py);
    const zoom = Math.max(0.5, Math.min(MOST_ZOOM, this.at.zoom * ratio)), kept = this.at.zoom / zoom;
    this.move({ x: u + (this.at.x - u) * kept, y: v + (this.at.y - v) * kept, zoom });
  }

  // --- drawing: once a change; while the map moves, as many cells as fit a frame ---

  schedule(moving = false) {
    this.moving = moving;
    clearTimeout(this.settle);
    if (moving) this.settle = setTimeout(() => this.schedule(), 150);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  // Size and opacity follow how densely the cells in view cover the places where there are any.
  look() {
    const { width, height, painter } = this;
    const ratio = painter.canvas.width / width;
    const [x0, y1] = this.toMap(0, 0), [x1, y0] = this.toMap(width, height);
    const { cells, squares } = this.grid.inside(x0, x1, y0, y1);
    const [sx, sy] = this.scale();
    const room = Math.max(1, squares) * (sx / GRID) * (sy / GRID);
    const wanted = Math.sqrt((1.3 * room) / Math.max(1, cells));
    const least = this.view.least;
    let size = Math.max(least || 1.2, Math.min(9, wanted)) * ratio;
    if (size < 3) size = Math.round(size); // small points would differ from each other by a whole pixel
    const layers = (cells * (size / ratio) ** 2) / room;
    const opacity = Math.max(least ? 0.8 : 0.35, Math.min(0.9, 2.2 / Math.sqrt(layers + 1)));
    return { size, opacity };
  }

  draw() {
    const { painter, points, view, theme } = this;
    if (this.lost || !points || !this.width) return;
    const { size, opacity } = this.look();
    const [sx, sy] = this.scale();
    const levels = view.palette.length;
    let count = points.n;
    if (this.moving && this.cost > 24) count = Math.max(20000, Math.round((count * 24) / this.cost));
    const begun = performance.now();
    painter.draw({
      count: Math.min(count, points.n), size, opacity,
      place: [
        (2 * sx) / this.width, (2 * sy) / this.height,
        (-2 * this.at.x * sx) / this.width, (-2 * this.at.y * sy) / this.height,
      ],
      codes: view.categories ? 0 : levels, missing: view.missing ?? -1, ground: theme.ground, dim: theme.dim,
    });
    if (!this.moving && this.cost === null) {
      painter.finish();
      this.cost = performance.now() - begun;
    }
    this.root.dataset.drawn = `${this.uploaded.points} ${this.uploaded.codes}`;
    this.root.dataset.frames = Number(this.root.dataset.frames ?? 0) + 1;
    this.root.dataset.zoom = this.at.zoom;
    this.drawOverlay();
    if (!this.places) setTimeout(() => this.findNames()); // after the points are on the screen
  }

  findNames() {
    if (this.places) return;
    this.places = this.placesOf ? densest(this.points, this.codes, this.view.categories.length) : [];
    this.drawOverlay();
  }

  drawOverlaySoon() {
    this.overlaid ??= requestAnimationFrame(() => {
      this.overlaid = null;
      this.drawOverlay();
    });
  }

  drawOverlay() {
    if (!this.points || !this.width) return;
    const context = this.overlay.getContext("2d"), sharp = this.overlay.width / this.width;
    context.setTransform(sharp, 0, 0, sharp, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const { view, hidden, theme } = this;
    const places = this.places ?? [];
    this.root.dataset.names = drawNames(context, places, view, hidden, this.toScreen, theme, this.width, this.height);
    drawPath(context, this.path, theme);
  }

  // --- hover ---

  pointAt(px, py) {
    this.pointer = [px, py];
    this.looking ??= requestAnimationFrame(() => {
      this.looking = null;
      if (!this.points || !this.pointer) return;
      const [u, v] = this.toMap(...this.pointer), [sx, sy] = this.scale();
      const rank = (i) => (this.hidden.has(this.codes[i]) ? -1 : this.dim?.[i] ? 0 : 1);
      this.hover(this.grid.nearest(u, v, REACH / sx, REACH / sy, rank), this.pointer);
    });
  }

  hover(place, pointer) {
    if (pointer === null) this.pointer = null;
    const cell = place < 0 ? -1 : this.points.cell(place);
    this.mark(place, true);
    if (this.hovered === cell) return;
    this.hovered = cell;
    for (const map of this.others()) map.mark(cell < 0 ? -1 : inversePlaces(map.points)[cell] ?? -1, false);
  }

  // Ring a cell, and say what it is.
  mark(place, near) {
    const { ring, tip, points } = this;
    ring.hidden = tip.hidden = place < 0;
    if (place < 0) return;
    const [x, y] = this.toScreen(points.xy[2 * place] / 65535, points.xy[2 * place + 1] / 65535);
    ring.hidden = tip.hidden = x < 0 || y < 0 || x > this.width || y > this.height;
    ring.style.left = `${x}px`;
    ring.style.top = `${y}px`;
    const lines = [element("div", "", this.valueOf(this.codes[place]))];
    lines.push(element("div", "cell", `cell ${points.cell(place).toLocaleString("en-US")}`));
    tip.replaceChildren(...lines);
    tip.dataset.cell = points.cell(place);
    tip.style.left = x > this.width * 0.6 ? "" : `${x + 14}px`;
    tip.style.right = x > this.width * 0.6 ? `${this.width - x + 14}px` : "";
    tip.style.top = y > this.height * 0.7 ? "" : `${y + 10}px`;
    tip.style.bottom = y > this.height * 0.7 ? `${this.height - y + 10}px` : "";
    if (near) tip.dataset.near = "here";
    else delete tip.dataset.near;
  }

  valueOf(code) {
    const { categories, palette, missing, low, high, title } = this.view;
    if (categories) return categories[code];
    if (code === missing) return `${title}: no value`;
    const levels = palette.length - (missing === null ? 0 : 1), first = missing === 0 ? 1 : 0;
    const part = levels > 1 ? (code - first) / (levels - 1) : 0;
    return `${title} ${number(low + part * (high - low))}`;
  }

  // --- what is told to the server ---

  tell(kind, polygon = [], mode = "replace") {
    shared.sequence = Math.max((shared.sequence ?? 0) + 1, Date.now());
    this.gestures += 1;
    this.showModes();
    const categories = [...this.hidden].sort((a, b) => a - b);
    this.untold.push({ sequence: shared.sequence, kind, mode, polygon, categories });
    this.tellNext();
  }

  // One gesture at a time: the next one would take its place before the server has looked at it.
  tellNext() {
    if (this.asked || !this.untold.length) return;
    const gesture = this.untold.shift();
    this.asked = gesture.sequence;
    this.patience = setTimeout(() => this.heard(gesture.sequence), 2000);
    this.send(gesture);
  }

  heard(sequence) {
    if (!this.asked || sequence < this.asked) return;
    clearTimeout(this.patience);
    this.asked = 0;
    this.tellNext();
  }

  select(kind, path, mode) {
    const { x, y } = this.points;
    const corners = (kind === "box" ? path : simplify(path)).map(([px, py]) => {
      const [u, v] = this.toMap(px, py);
      return [x[0] + u * (x[1] - x[0]), y[0] + v * (y[1] - y[0])];
    });
    this.tell(kind, corners, mode);
  }

  setTool(name) {
    this.tool = name;
    this.stage.dataset.tool = name;
    for (const tool of TOOLS) this.buttons[tool].setAttribute("aria-pressed", String(tool === name));
    for (const mode of MODES) this.buttons[mode].setAttribute("aria-pressed", String(mode === this.mode));
  }

  act(name) {
    if (!this.points || (!this.selects && (OF_SELECTION.includes(name) || ["lasso", "box"].includes(name)))) return;
    if (TOOLS.includes(name)) this.setTool(name);
    else if (MODES.includes(name)) {
      this.mode = name;
      this.setTool(this.tool === "pan" ? "lasso" : this.tool);
    } else if (name === "in") this.zoomAt(1.5, this.width / 2, this.height / 2);
    else if (name === "out") this.zoomAt(1 / 1.5, this.width / 2, this.height / 2);
    else if (name === "reset") this.move({ x: 0.5, y: 0.5, zoom: 1 });
    else if (name === "png") this.download();
    else this.tell(name);
  }

  download() {
    this.moving = false;
    this.draw();
    picture(this).toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${this.view.title_of_map.replace(/[^\w.-]+/g, "-").replace(/^-+|-+$/g, "") || "map"}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    });
  }

  dispose() {
    this.stop.abort();
    this.watch?.disconnect();
    clearTimeout(this.settle);
    clearTimeout(this.patience);
    if (this.frame) cancelAnimationFrame(this.frame);
    shared.waiting.delete(this);
    this.leave();
    this.painter.dispose();
  }
}
