// Where Streamlit calls in: again for every change of the data or the theme, on the same element.
const maps = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".sgm-scatter");
  if (!root || !data) return;
  if (!maps.has(root)) maps.set(root, new ScatterMap(root, unpack(data).header.key));
  const map = maps.get(root);
  map.update(data, (gesture) => setStateValue("gesture", gesture));
  return () => {
    map.dispose();
    maps.delete(root);
  };
}
