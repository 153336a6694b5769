// Wires the page: every change of the state passes through `changed`, which shows it everywhere.

async function start() {
  if (!window.DecompressionStream || !window.WebAssembly) {
    throw new Error("This page needs a browser with WebAssembly and DecompressionStream: Chromium 80, Firefox 113, Safari 16.4 or newer.");
  }
  const painter = artist(await (MODEL.server ? serverEngine : offlineEngine)(MODEL), failed);
  const cards = KNOBS.map((code) => knob(code, turn, release));
  at("knobs").append(...cards.map((card) => card.element));
  const image = imageView(painter, changed);
  const sheet = sheetView(painter, adopt);
  const journey = journeyView(painter, changed);
  [state.rows, state.columns] = favourites();

  // A server may be asked again, and what it says stands where its status is; a page that draws by itself may not go on.
  function failed(error) {
    if (!MODEL.server) throw error;
    at("status").textContent = error.status ? error.message : LOST;
  }

  function turn(part, value) {
    current().set[part] = value;
    changed();
  }

  function release(code) {
    for (let part = 0; part < parts(code); part++) delete current().set[partName(code, part)];
    changed();
  }

  function adopt(setting) {
    state.from = setting;
    state.show = "image";
    changed();
    at("picture").focus();
  }

  let settled = 0;
  function changed() {
    const setting = current();
    const values = valuesOf(MODEL.codes, setting);
    cards.forEach((card) => card.show(values[card.code.name], setting));
    if (document.activeElement !== at("seed") || Number(at("seed").value) !== setting.seed) at("seed").value = setting.seed;
    for (const show of ["image", "sheet", "journey"]) {
      at(`view-${show}`).hidden = state.show !== show;
      at(`show-${show}`).checked = state.show === show;
    }
    at("forget").hidden = !setting.found;
    at("save").textContent = state.show === "sheet" ? "Save sheet" : "Save picture";
    at("save").hidden = state.show === "journey";
    at("more").hidden = state.show !== "image";
    at("reset").hidden = !KNOBS.length;
    at("rows").value = state.rows;
    at("columns").value = state.columns;
    if (state.show === "image") painter.now(encodingOf(MODEL.codes, values), image.show);
    if (state.show === "sheet") sheet.draw();
    if (state.show === "journey") journey.draw();
    else journey.stop();
    clearTimeout(settled);
    settled = setTimeout(() => calm(setting, values), 200);
  }

  // What can wait until a person has stopped turning: the words, the link, an example on every class.
  function calm(setting, values) {
    const words = described(setting, values);
    at("caption").textContent = words;
    at("picture").setAttribute("aria-label", `Drawing: ${words}`);
    at("command").textContent = command();
    if (toLink() !== location.hash) history.replaceState(null, "", toLink());
    examples(setting);
  }

  let round = 0;
  async function examples(setting) {
    const mine = ++round;
    for (const { code, thumbnails } of cards.filter((card) => card.thumbnails)) {
      const told = thumbnails.map((_, k) => () => encodingOf(MODEL.codes, valuesOf(MODEL.codes, placed(setting, code.name, k))));
      await painter.many(told, (pixels, k) => paint(thumbnails[k], pixels), () => mine === round);
    }
    if (mine === round) document.body.dataset.examples = "drawn";
  }

  at("seed").addEventListener("input", () => {
    current().seed = seedOf(at("seed").value);
    current().found = null;
    changed();
  });
  at("another").addEventListener("click", () => {
    current().seed = current().seed < LAST_SEED ? current().seed + 1 : 0;
    current().found = null;
    changed();
  });
  at("forget").addEventListener("click", () => {
    current().found = null;
    changed();
  });
  at("reset").addEventListener("click", () => {
    Object.assign(current(), { set: table(), found: null });
    changed();
  });
  at("save").addEventListener("click", () => {
    if (state.show === "sheet") savePng(sheet.picture(), fileName("png"));
    else savePng(enlarged(at("picture"), 256), fileName("png"));
  });
  at("more").addEventListener("click", async () => {
    const canvas = document.createElement("canvas");
    paint(canvas, (await once(encodingOf(MODEL.codes, valuesOf(MODEL.codes, state.from)))));
    savePng(canvas, fileName("png"));
  });
  const once = async (told) => {
    let found;
    await painter.many([() => told], (pixels) => (found = pixels));
    return found;
  };
  at("link").addEventListener("click", async () => {
    history.replaceState(null, "", toLink());
    try {
      await navigator.clipboard.writeText(location.href);
      at("link").textContent = "Copied";
    } catch {
      at("link").textContent = "The address bar holds it";
    }
    setTimeout(() => (at("link").textContent = "Copy link"), 1500);
  });
  for (const show of ["image", "sheet", "journey"]) {
    at(`show-${show}`).addEventListener("input", () => {
      state.show = show;
      changed();
    });
  }
  for (const side of ["rows", "columns"]) {
    at(side).addEventListener("input", () => {
      const other = side === "rows" ? "columns" : "rows";
      const before = state[side];
      state[side] = at(side).value;
      if (state[side] === state[other]) state[other] = before;
      changed();
    });
  }
  window.addEventListener("hashchange", (event) => {
    fromLink(new URL(event.newURL).hash); // the address bar may hold the state of before again
    changed();
  });

  if (MODEL.server) liveView(changed);
  fromLink(location.hash);
  changed();
  at("loading").remove();
  at("bench").hidden = false;
}

// The axes a sheet begins with: a category down, the slider worth most across.
function favourites() {
  const rows = KNOBS.find((code) => code.kind === "categorical") ?? KNOBS[0];
  const rest = KNOBS.filter((code) => code !== rows);
  const columns = rest.find((code) => code.ends) ?? rest[0];
  return [rows, columns].map((code) => (code ? partName(code, 0) : ""));
}

start().catch((error) => {
  at("loading").textContent = `This page could not start: ${error.message}`;
  at("loading").className = "alarm";
  throw error;
});
