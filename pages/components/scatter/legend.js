// The legend: categories to switch on and off, or the scale of numbers. Names are text, never markup.

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function number(value) {
  const size = Math.abs(value);
  if (size && (size < 0.001 || size >= 1e7)) return value.toExponential(2);
  return value.toLocaleString("en-US", { maximumSignificantDigits: size >= 1000 ? 6 : 3 });
}

function drawLegend(box, view, hidden, act) {
  const { categories, counts, palette, title, missing } = view;
  const active = box.getRootNode().activeElement?.dataset?.code; // the keyboard stays where it is
  const top = box.scrollTop;
  box.replaceChildren();
  box.setAttribute("aria-label", `Legend: ${title}`);
  if (title) box.append(element("div", "name", title));
  if (!categories) {
    const scale = element("div", "scale"), ramp = element("div", "ramp");
    const levels = palette.filter((_, code) => code !== missing);
    const steps = Math.min(24, levels.length);
    const stops = Array.from({ length: steps }, (_, i) => levels[Math.round((i * (levels.length - 1)) / Math.max(1, steps - 1))]);
    ramp.style.setProperty("--ramp", stops.length > 1 ? stops.join(", ") : `${stops[0]}, ${stops[0]}`);
    scale.append(element("div", "low", number(view.low)), ramp, element("div", "high", number(view.high)));
    box.append(scale);
    if (missing !== null) {
      const none = element("div", "none"), swatch = element("span", "swatch");
      swatch.style.setProperty("--swatch", palette[missing]);
      none.append(swatch, element("span", "", "no value"));
      box.append(none);
    }
    return;
  }
  categories.forEach((name, code) => {
    const level = element("button", "level"), swatch = element("span", "swatch");
    level.type = "button";
    level.dataset.code = code;
    level.title = `${name}: click shows or hides it, a double click shows it alone`;
    level.setAttribute("aria-pressed", String(!hidden.has(code)));
    swatch.style.setProperty("--swatch", palette[code]);
    level.append(swatch, element("span", "label", name));
    if (counts) level.append(element("span", "count", counts[code].toLocaleString("en-US")));
    level.onclick = (event) => (event.shiftKey ? act.isolate(code) : act.toggle(code));
    level.ondblclick = () => act.isolate(code);
    box.append(level);
    if (String(code) === active) level.focus();
  });
  if (hidden.size) {
    const all = element("button", "all", "show all");
    all.type = "button";
    all.onclick = () => act.showAll();
    box.append(all);
  }
  box.scrollTop = top;
}
