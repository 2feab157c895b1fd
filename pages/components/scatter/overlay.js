// What lies over the points: names of categories, the path being drawn; and the picture to download.

function drawNames(context, places, view, hidden, toScreen, theme, width, height) {
  context.font = `600 12px ${theme.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  const taken = [];
  const order = [...places].sort((a, b) => (view.counts ? view.counts[b.code] - view.counts[a.code] : 0));
  for (const { code, u, v } of order) {
    if (hidden.has(code) || code === view.missing) continue;
    const [x, y] = toScreen(u, v);
    let name = view.categories[code];
    if (name.length > 26) name = `${name.slice(0, 25)}…`;
    const half = context.measureText(name).width / 2 + 3;
    if (x - half < 0 || x + half > width || y < 9 || y > height - 9) continue;
    if (taken.some(([tx, ty, th]) => Math.abs(tx - x) < th + half && Math.abs(ty - y) < 17)) continue;
    taken.push([x, y, half]);
    context.lineWidth = 3.5;
    context.strokeStyle = theme.groundText;
    context.strokeText(name, x, y);
    context.fillStyle = theme.inkText;
    context.fillText(name, x, y);
  }
  return taken.length;
}

function drawPath(context, path, theme) {
  if (path.length < 2) return;
  context.beginPath();
  path.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.fillStyle = theme.accentText;
  context.globalAlpha = 0.12;
  context.fill();
  context.globalAlpha = 1;
  context.lineWidth = 1.5;
  context.strokeStyle = theme.inkText;
  context.setLineDash([5, 3]);
  context.stroke();
  context.setLineDash([]);
}

// The map with its title and legend on one canvas.
function picture(map) {
  const { view, hidden, theme, painter } = map;
  const ratio = painter.canvas.width / map.width;
  const side = 230, top = 34;
  const canvas = document.createElement("canvas");
  canvas.width = (map.width + side) * ratio;
  canvas.height = (map.height + top) * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = theme.groundText;
  context.fillRect(0, 0, map.width + side, map.height + top);
  context.drawImage(painter.canvas, 0, top, map.width, map.height);
  context.drawImage(map.overlay, 0, top, map.width, map.height);
  context.fillStyle = theme.inkText;
  context.textBaseline = "middle";
  context.font = `600 14px ${theme.font}`;
  context.fillText(view.title_of_map, 8, 17, map.width + side - 16);
  const left = map.width + 14;
  context.font = `600 12px ${theme.font}`;
  context.fillText(view.title, left, top + 10, side - 20);
  context.font = `12px ${theme.font}`;
  if (!view.categories) {
    const levels = view.palette.filter((_, code) => code !== view.missing);
    for (let i = 0; i < 160; i++) {
      context.fillStyle = levels[Math.round((i * (levels.length - 1)) / 159)];
      context.fillRect(left, top + 188 - i, 14, 1.5);
    }
    context.fillStyle = theme.inkText;
    context.fillText(number(view.high), left + 22, top + 32);
    context.fillText(number(view.low), left + 22, top + 186);
    return canvas;
  }
  const shown = view.categories.map((name, code) => ({ name, code })).filter(({ code }) => !hidden.has(code));
  const room = Math.max(1, Math.floor((map.height - 30) / 17));
  shown.slice(0, shown.length > room ? room - 1 : room).forEach(({ name, code }, i) => {
    const y = top + 30 + i * 17;
    context.fillStyle = view.palette[code];
    context.beginPath();
    context.arc(left + 5, y, 5, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = theme.inkText;
    const count = view.counts ? ` (${view.counts[code].toLocaleString("en-US")})` : "";
    context.fillText(name + count, left + 16, y, side - 36);
  });
  if (shown.length > room) context.fillText(`and ${shown.length - room + 1} more`, left + 16, top + 30 + (room - 1) * 17);
  return canvas;
}
