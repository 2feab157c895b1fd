// Where Streamlit calls in: again for every change of the data or the theme, on the same element.
const maps = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".sgm-scatter");
  if (!root || !data) return;
  if (!maps.has(root)) maps.set(root, new ScatterMap(root, unpack(data).header.key));
  const map = maps.get(root);
  map.update(data, (gesture) => setStateValue("gesture", gesture));
  // Streamlit also ends a call that a newer one has overtaken; the map ends with its place on the page.
  return () => setTimeout(() => {
    if (root.isConnected || maps.get(root) !== map) return;
    map.dispose();
    maps.delete(root);
  });
}
