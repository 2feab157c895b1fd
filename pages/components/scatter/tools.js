// The row of buttons. Icons are drawn here, so that nothing is fetched.

const ICONS = {
  pan: "M8 1v14M1 8h14M8 1 6 3M8 1l2 2M8 15l-2-2M8 15l2-2M1 8l2-2M1 8l2 2M15 8l-2-2M15 8l-2 2",
  lasso: "M8 2c4 0 6 2 6 4.3S11.5 11 8 11 2 8.7 2 6.3 4 2 8 2ZM5 10.5c-1 .8-1 2 0 2.5s1 1.5 0 2",
  box: "M2 3h12v10H2Z",
  replace: "M3 5h7v8H3Z",
  add: "M8 3v10M3 8h10",
  subtract: "M3 8h10",
  invert: "M2 3h12v10H2ZM8 3v10M8 6l3-3M8 10l6-6M8 13l6-6M11 13l3-3",
  clear: "M4 4l8 8M12 4l-8 8",
  undo: "M6 3 3 6l3 3M3 6h6a4 4 0 0 1 0 8H6",
  redo: "M10 3l3 3-3 3M13 6H7a4 4 0 0 0 0 8h3",
  in: "M7 3a4 4 0 1 0 .01 0M10 10l4 4M5 7h4M7 5v4",
  out: "M7 3a4 4 0 1 0 .01 0M10 10l4 4M5 7h4",
  reset: "M2 6V2h4M14 6V2h-4M2 10v4h4M14 10v4h-4",
  png: "M8 2v8M5 7l3 3 3-3M2 13h12",
};
const BUTTONS = [
  ["lasso", "Lasso: draw around cells (L)"],
  ["box", "Rectangle: select cells (B)"],
  ["pan", "Move the map (P, or the arrow keys)"],
  null,
  ["replace", "A new selection takes the place of the old one"],
  ["add", "Add to the selection (or hold Shift)"],
  ["subtract", "Take away from the selection (or hold Alt)"],
  ["invert", "Select all other cells (I)"],
  ["clear", "Clear the selection (Escape)"],
  ["undo", "Undo (Ctrl+Z)"],
  ["redo", "Redo (Ctrl+Y)"],
  null,
  ["in", "Zoom in (+)"],
  ["out", "Zoom out (-)"],
  ["reset", "Show the whole map (0)"],
  ["png", "Download as PNG"],
];
const MODES = ["replace", "add", "subtract"];
const TOOLS = ["pan", "lasso", "box"];
const OF_SELECTION = [...MODES, "invert", "clear", "undo", "redo"];

function drawTools(box, act) {
  const buttons = {};
  box.replaceChildren();
  for (const entry of BUTTONS) {
    if (!entry) {
      box.append(element("span", "apart"));
      continue;
    }
    const [name, title] = entry;
    const button = element("button");
    button.type = "button";
    button.dataset.tool = name;
    button.title = title;
    button.setAttribute("aria-label", title);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    button.append(svg);
    button.onclick = () => act(name);
    buttons[name] = button;
    box.append(button);
  }
  return buttons;
}
