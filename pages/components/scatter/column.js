// A mount that draws nothing: it puts one binary column where the maps of the page find it.
const shared = (globalThis.__sgmScatter ??= { columns: new Map(), waiting: new Set() });
const held = new WeakMap();

function release(token) {
  const column = token && shared.columns.get(token);
  if (column && --column.holders === 0) shared.columns.delete(token);
}

export default function ({ data, parentElement }) {
  if (!data) return;
  const size = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
  const token = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + size))).token;
  const before = held.get(parentElement);
  if (token !== before) {
    const column = shared.columns.get(token) ?? { data, holders: 0 };
    column.holders += 1;
    shared.columns.set(token, column);
    held.set(parentElement, token);
    release(before);
    for (const map of [...shared.waiting]) map.refresh();
  }
  // Streamlit also ends a call that a newer one has overtaken; the column goes with its place on the page.
  return () => setTimeout(() => {
    if (parentElement.isConnected || !held.has(parentElement)) return;
    release(held.get(parentElement));
    held.delete(parentElement);
  });
}
