// Where cells lie, on a grid of 256 x 256: for hover, for density, for the places of names.

const GRID = 256;

class Grid {
  constructor(points) {
    const { n, xy } = points;
    this.points = points;
    this.starts = new Uint32Array(GRID * GRID + 1);
    const keys = new Uint16Array(n);
    for (let i = 0; i < n; i++) {
      keys[i] = (xy[2 * i + 1] & 0xff00) | (xy[2 * i] >> 8);
      this.starts[keys[i] + 1] += 1;
    }
    for (let k = 0; k < GRID * GRID; k++) this.starts[k + 1] += this.starts[k];
    const next = this.starts.slice();
    this.order = new Uint32Array(n);
    for (let i = 0; i < n; i++) this.order[next[keys[i]]++] = i;
  }

  // Number of cells, and of occupied squares, in a rectangle of 0..1 coordinates.
  inside(x0, x1, y0, y1) {
    const clamp = (v) => Math.max(0, Math.min(GRID - 1, Math.floor(v * GRID)));
    let cells = 0, squares = 0;
    for (let row = clamp(y0); row <= clamp(y1); row++) {
      const first = row * GRID + clamp(x0), last = row * GRID + clamp(x1);
      cells += this.starts[last + 1] - this.starts[first];
      for (let k = first; k <= last; k++) if (this.starts[k + 1] > this.starts[k]) squares += 1;
    }
    return { cells, squares };
  }

  // The nearest cell to (u, v), or -1; `rx`, `ry` is the reach, all in 0..1 coordinates; `better(i)` ranks, below 0 refuses.
  nearest(u, v, rx, ry, rank) {
    const { xy } = this.points;
    const clamp = (value) => Math.max(0, Math.min(GRID - 1, Math.floor(value * GRID)));
    let best = -1, bestRank = -1, bestFar = Infinity;
    for (let row = clamp(v - ry); row <= clamp(v + ry); row++) {
      for (let column = clamp(u - rx); column <= clamp(u + rx); column++) {
        const k = row * GRID + column;
        for (let at = this.starts[k]; at < this.starts[k + 1]; at++) {
          const i = this.order[at];
          const far = ((xy[2 * i] / 65535 - u) / rx) ** 2 + ((xy[2 * i + 1] / 65535 - v) / ry) ** 2;
          if (far > 1) continue;
          const mine = rank(i);
          if (mine < 0 || mine < bestRank) continue;
          if (mine > bestRank || far < bestFar) {
            best = i;
            bestRank = mine;
            bestFar = far;
          }
        }
      }
    }
    return best;
  }
}

// Where each category is densest, in 0..1 coordinates: the mean of its cells around its fullest of 40 x 40 squares.
// One that is mixed into others everywhere has no place of its own, and no name: its fullest square holds more of another.
function densest(points, codes, categories) {
  const side = 40, step = 65536 / side, { n, xy } = points;
  const counts = new Uint32Array(categories * side * side);
  for (let i = 0; i < n; i++) {
    const square = Math.floor(xy[2 * i + 1] / step) * side + Math.floor(xy[2 * i] / step);
    counts[codes[i] * side * side + square] += 1;
  }
  const full = new Int32Array(categories).fill(-1);
  for (let c = 0; c < categories; c++) {
    let most = 0;
    for (let s = 0; s < side * side; s++) {
      const count = counts[c * side * side + s];
      if (count > most) [most, full[c]] = [count, s];
    }
  }
  for (let c = 0; c < categories; c++) {
    if (full[c] < 0) continue;
    const mine = counts[c * side * side + full[c]];
    for (let other = 0; other < categories; other++) {
      if (counts[other * side * side + full[c]] <= mine) continue;
      full[c] = -1;
      break;
    }
  }
  const sums = new Float64Array(categories * 3);
  for (let i = 0; i < n; i++) {
    const c = codes[i];
    if (full[c] < 0) continue;
    if (Math.abs(Math.floor(xy[2 * i] / step) - (full[c] % side)) > 1) continue;
    if (Math.abs(Math.floor(xy[2 * i + 1] / step) - Math.floor(full[c] / side)) > 1) continue;
    sums[3 * c] += xy[2 * i];
    sums[3 * c + 1] += xy[2 * i + 1];
    sums[3 * c + 2] += 1;
  }
  const places = [];
  for (let c = 0; c < categories; c++) {
    const count = sums[3 * c + 2];
    if (count) places.push({ code: c, u: sums[3 * c] / count / 65535, v: sums[3 * c + 1] / count / 65535 });
  }
  return places;
}
