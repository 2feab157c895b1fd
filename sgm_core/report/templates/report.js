// Unpacks plotly.js and draws every figure; what can't be drawn says so, and its tables stand beside it.
(() => {
  const own = document.currentScript;
  const options = {
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["zoomIn2d", "zoomOut2d", "autoScale2d", "lasso2d", "select2d"],
  };

  const unpacked = async () => {
    const packed = atob(document.getElementById("library").textContent.trim());
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };

  const load = (text) => {
    const script = document.createElement("script");
    script.nonce = own.nonce;
    script.textContent = text;
    document.head.append(script);
  };

  const draw = async (source) => {
    const { data, layout } = JSON.parse(source.textContent);
    const name = source.dataset.name;
    await Plotly.newPlot(source.parentElement, data, layout, {
      ...options,
      toImageButtonOptions: { format: "svg", filename: name },
    });
  };

  const failed = (box, reason) => {
    const line = document.createElement("p");
    line.className = "note";
    line.textContent = `This figure can't be drawn here (${reason}); a current browser draws it.`;
    box.append(line);
    box.style.height = "auto";
  };

  const all = async () => {
    const figures = [...document.querySelectorAll("script.figure")];
    if (!figures.length) return;
    try {
      load(await unpacked());
    } catch (error) {
      figures.forEach((source) => failed(source.parentElement, error.message));
      return;
    }
    for (const source of figures) {
      const box = source.parentElement;
      try {
        await draw(source);
      } catch (error) {
        failed(box, error.message);
      }
    }
    document.documentElement.dataset.drawn = "yes";
  };

  // on paper everything is open
  addEventListener("beforeprint", () =>
    document.querySelectorAll("details:not([open])").forEach((part) => {
      part.open = true;
      part.dataset.shut = "yes";
    }),
  );
  addEventListener("afterprint", () =>
    document.querySelectorAll("details[data-shut]").forEach((part) => {
      part.open = false;
      delete part.dataset.shut;
    }),
  );
  // within the frame of a preview the address of a part would be one of the page around it
  document.querySelectorAll('nav a[href^="#"]').forEach((link) =>
    link.addEventListener("click", (event) => {
      event.preventDefault();
      document.getElementById(link.hash.slice(1)).scrollIntoView();
    }),
  );
  all();
})();
