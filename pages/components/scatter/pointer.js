// Mouse, pen, touch and keyboard. `map` does the work.

const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const KEYS = { "+": "in", "=": "in", "-": "out", _: "out", 0: "reset", l: "lasso", b: "box", p: "pan", i: "invert" };

function listen(map, signal) {
  const { stage } = map;
  const options = { signal };
  const fingers = new Map();
  let drag = null; // {kind, x, y, path, mode}

  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
  };
  const stop = () => {
    drag = null;
    stage.classList.remove("dragging");
    map.path = [];
    map.drawOverlay();
  };

  stage.addEventListener("pointerdown", (event) => {
    if (!map.points || (event.pointerType === "mouse" && event.button > 1)) return;
    stage.setPointerCapture(event.pointerId);
    const [x, y] = at(event);
    fingers.set(event.pointerId, [x, y]);
    map.hover(-1, null);
    if (fingers.size > 1) {
      stop();
      drag = { kind: "pinch" };
      return;
    }
    const kind = event.button === 1 ? "pan" : map.tool;
    const mode = event.shiftKey ? "add" : event.altKey ? "subtract" : map.mode;
    drag = { kind, x, y, mode, path: [[x, y]] };
    if (kind === "pan") stage.classList.add("dragging");
  }, options);

  stage.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    if (!drag) {
      if (event.pointerType !== "touch") map.pointAt(x, y);
      return;
    }
    const before = fingers.get(event.pointerId);
    if (!before) return;
    if (drag.kind === "pinch") {
      const others = [...fingers].filter(([id]) => id !== event.pointerId);
      if (!others.length) return;
      const [ox, oy] = others[0][1];
      const ratio = Math.hypot(x - ox, y - oy) / Math.max(1, Math.hypot(before[0] - ox, before[1] - oy));
      map.zoomAt(ratio, (x + ox) / 2, (y + oy) / 2);
      map.panBy((x - before[0]) / 2, (y - before[1]) / 2);
    } else if (drag.kind === "pan") {
      map.panBy(x - before[0], y - before[1]);
    } else if (drag.kind === "lasso") {
      for (const each of event.getCoalescedEvents?.() ?? [event]) {
        const [px, py] = at(each);
        const [lx, ly] = drag.path[drag.path.length - 1];
        if (Math.hypot(px - lx, py - ly) >= 1.5) drag.path.push([px, py]);
      }
      map.path = drag.path;
      map.drawOverlaySoon();
    } else {
      drag.path = [[drag.x, drag.y], [x, drag.y], [x, y], [drag.x, y]];
      map.path = drag.path;
      map.drawOverlaySoon();
    }
    fingers.set(event.pointerId, [x, y]);
  }, options);

  const end = (event) => {
    const known = fingers.delete(event.pointerId);
    if (!known || !drag) return;
    const done = drag;
    if (done.kind === "pinch" && fingers.size) return;
    stop();
    if (event.type === "pointercancel" || done.kind === "pan" || done.kind === "pinch") return;
    if (done.path.length < 3 || area(done.path) < 25) {
      if (event.pointerType === "touch") map.pointAt(done.x, done.y); // a tap says what is there
      return;
    }
    map.select(done.kind, done.path, done.mode);
  };
  stage.addEventListener("pointerup", end, options);
  stage.addEventListener("pointercancel", end, options);
  stage.addEventListener("pointerleave", () => !drag && map.hover(-1, null), options);

  stage.addEventListener("wheel", (event) => {
    if (!map.points) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    const [x, y] = at(event);
    map.zoomAt(Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.002)), x, y);
  }, { signal, passive: false });

  stage.addEventListener("dblclick", (event) => {
    event.preventDefault();
    map.act("reset");
  }, options);

  stage.addEventListener("keydown", (event) => {
    if (!map.points) return;
    let known = true;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") map.act(event.shiftKey ? "redo" : "undo");
      else if (key === "y") map.act("redo");
      else known = false;
    } else if (ARROWS[key]) {
      const far = event.shiftKey ? 160 : 40;
      map.panBy(ARROWS[key][0] * far, ARROWS[key][1] * far);
    } else if (KEYS[key]) {
      map.act(KEYS[key]);
    } else if (key === "Escape") {
      if (drag) stop();
      else if (map.dim || map.gestures) map.act("clear");
    } else {
      known = false;
    }
    if (!known) return;
    event.preventDefault();
    event.stopPropagation(); // the dashboard has keys of its own
  }, options);
}
