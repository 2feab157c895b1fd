// A drawn path becomes a polygon of few corners.

const MOST_CORNERS = 200;

// Douglas and Peucker (1973): leave out corners that lie within `tolerance` of the line without them.
function thin(path, tolerance) {
  const keep = new Uint8Array(path.length);
  keep[0] = keep[path.length - 1] = 1;
  const todo = [[0, path.length - 1]];
  while (todo.length) {
    const [first, last] = todo.pop();
    const [ax, ay] = path[first], [bx, by] = path[last];
    const length = Math.hypot(bx - ax, by - ay);
    let far = 0, at = -1;
    for (let i = first + 1; i < last; i++) {
      const [x, y] = path[i];
      const d = length
        ? Math.abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length
        : Math.hypot(x - ax, y - ay);
      if (d > far) [far, at] = [d, i];
    }
    if (far > tolerance) {
      keep[at] = 1;
      todo.push([first, at], [at, last]);
    }
  }
  return path.filter((_, i) => keep[i]);
}

function simplify(path) {
  let tolerance = 0.75, thinned = thin(path, tolerance);
  while (thinned.length > MOST_CORNERS) thinned = thin(path, (tolerance *= 1.5));
  return thinned;
}

function area(path) {
  let twice = 0;
  path.forEach(([x, y], i) => {
    const [nx, ny] = path[(i + 1) % path.length];
    twice += x * ny - nx * y;
  });
  return Math.abs(twice) / 2;
}
