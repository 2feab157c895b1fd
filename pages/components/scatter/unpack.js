// Reading what Python packed: 4 bytes length, JSON, padding to 4 bytes, then the arrays.

const shared = (globalThis.__sgmScatter ??= { columns: new Map(), waiting: new Set() });
shared.groups ??= new Map(); // group -> maps on the page
shared.views ??= new Map(); // key of a map -> where its reader was

function unpack(data) {
  const size = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + size)));
  const start = Math.ceil((4 + size) / 4) * 4;
  return { header, body: data.slice(start).buffer }; // a copy of its own, so that typed arrays are aligned
}

// The order in which cells are drawn: rows 0, s, 2s, ... modulo n, so that any first part of it is an even sample.
function inversePlaces(points) {
  if (!points.places) {
    let most = 0;
    for (let i = 0; i < points.n; i++) most = Math.max(most, points.cell(i));
    points.places = new Int32Array(most + 1).fill(-1);
    for (let i = 0; i < points.n; i++) points.places[points.cell(i)] = i;
  }
  return points.places;
}

function readPoints(token) {
  const column = shared.columns.get(token);
  if (!column) return null;
  if (!column.read) {
    const { header, body } = unpack(column.data);
    const { n, stride, x, y } = header;
    const xy = new Uint16Array(body, 0, 2 * n);
    const cells = header.cells ? new Uint32Array(body, 4 * n, n) : null;
    column.read = {
      token, n, xy, x, y,
      cell: cells ? (i) => cells[i] : (i) => (i * stride) % n,
    };
    column.data = null; // copied
  }
  return column.read;
}

function readCodes(token) {
  const column = shared.columns.get(token);
  if (!column) return null;
  if (!column.read) {
    const { header, body } = unpack(column.data);
    const codes = header.bytes === 1 ? new Uint8Array(body, 0, header.n) : new Uint16Array(body, 0, header.n);
    column.read = { token, codes, bytes: header.bytes };
    column.data = null;
  }
  return column.read;
}

// Bits to one byte a cell: 1 where it recedes because others are selected.
function dimmed(body, n) {
  const bits = new Uint8Array(body);
  const dim = new Uint8Array(n);
  for (let i = 0; i < n; i++) dim[i] = (bits[i >> 3] >> (i & 7)) & 1 ? 0 : 1;
  return dim;
}
