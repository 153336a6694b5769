// The three views: one image, a sheet of two codes, a journey between two settings.

const at = (id) => document.getElementById(id);

// ------------------------------------------------------------------ one image
function imageView(draw, changed) {
  const canvas = at("picture");
  const grips = KNOBS.filter((code) => code.ends && code.kind !== "circular").slice(0, 2);
  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (!grips.length) return;
    const value = valuesOf(MODEL.codes, current());
    held = { x: event.clientX, y: event.clientY, start: grips.map((code) => value[code.name][0]), touch: event.pointerType === "touch" };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    const box = canvas.getBoundingClientRect();
    const moved = [(event.clientX - held.x) / box.width, held.touch ? 0 : (held.y - event.clientY) / box.height];
    grips.forEach((code, i) => {
      if (!moved[i]) return;
      const [low, high] = code.ends;
      const value = Math.max(low, Math.min(high, held.start[i] + moved[i] * (high - low)));
      current().set[partName(code, 0)] = Number(value.toPrecision(4));
    });
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (held = null));
  const ways = (matchMedia("(pointer: coarse)").matches ? ["sideways"] : ["sideways", "up and down"]).map((way, i) => grips[i] && `${way} turns ${grips[i].label}`).filter(Boolean);
  at("hint").textContent = ways.length ? `Drag on the picture: ${ways.join(", ")}.` : "";
  return { show: (image) => paint(canvas, image) };
}

// ------------------------------------------------------------------ a sheet
const MOST_CELLS = 1500; // more would keep a phone busy for minutes

// As many points of both sides as such a sheet has room for, the first ones.
function fitted(down, across) {
  const [high, wide] = [down.points.length, across.points.length];
  if (high * wide <= MOST_CELLS) return [down, across];
  const short = Math.min(high, wide, Math.floor(Math.sqrt(MOST_CELLS)));
  const long = Math.floor(MOST_CELLS / short);
  const cut = (side, count) => {
    if (side.points.length <= count) return side;
    const label = `${side.label} (the first ${count} of ${side.points.length.toLocaleString("en")})`;
    return { ...side, points: side.points.slice(0, count), names: side.names.slice(0, count), title: label };
  };
  return high >= wide ? [cut(down, long), cut(across, short)] : [cut(down, short), cut(across, long)];
}

function sheetView(artist, adopt) {
  let round = 0;
  let laid = null; // the table as it stands: its cells, and the setting of each
  for (const side of ["rows", "columns"]) {
    at(side).append(...AXES.map(({ id, label }) => make("option", { value: id }, label)));
  }

  // The table of the two sides; a knob that is no side of it only changes what its cells show.
  function lay(down, across) {
    const key = JSON.stringify([state.rows, state.columns, down.names, across.names]);
    if (laid?.key === key) return laid.cells;
    const wide = across.names.length;
    const cells = down.names.flatMap((y, i) =>
      across.names.map((x, j) => {
        const name = `${down.label} ${y}, ${across.label} ${x}`;
        const canvas = make("canvas", { width: WIDTH, height: HEIGHT, "aria-hidden": "true" });
        const go = () => adopt(laid.settings[i * wide + j]);
        return make("button", { type: "button", "aria-label": name, title: name, onclick: go }, canvas);
      }),
    );
    const head = make("tr", {}, make("td"), ...across.names.map((name) => make("th", { scope: "col" }, name)));
    const rows = down.names.map((name, y) => {
      const own = cells.slice(y * wide, (y + 1) * wide);
      return make("tr", {}, make("th", { scope: "row" }, name), ...own.map((cell) => make("td", {}, cell)));
    });
    const shape = `${state.rows}/${state.columns}`;
    if (laid?.shape === shape && laid.cells.length === cells.length) {
      // the same sheet of other seeds: the old images stay until the new ones come
      laid.cells.forEach((cell, i) => cells[i].firstChild.getContext("2d").drawImage(cell.firstChild, 0, 0));
    }
    at("sheet").classList.toggle("long", down.points.length > 16);
    const caption = make("caption", {}, `${down.title ?? down.label} down, ${across.title ?? across.label} across`);
    at("sheet").replaceChildren(caption, head, ...rows);
    laid = { key, shape, cells, rows: down.names, heads: across.names };
    return cells;
  }

  async function draw() {
    const mine = ++round;
    const setting = state.from;
    const [down, across] = fitted(axis(state.rows, setting), axis(state.columns, setting));
    const seedsAlone = state.rows === "" && state.columns === ""; // a model without knobs: further seeds, row by row
    const seedAt = (y, x) => Math.min(LAST_SEED, setting.seed + (y - setting.seed) * across.points.length + (x - setting.seed));
    const settings = down.points.flatMap((y) =>
      across.points.map((x) => (seedsAlone ? placed(setting, "", seedAt(y, x)) : placed(placed(setting, state.rows, y), state.columns, x))),
    );
    if (seedsAlone) {
      down.names = down.points.map((y) => `from ${seedAt(y, setting.seed)}`);
      across.names = across.points.map((x) => `+${x - setting.seed}`);
    }
    const cells = lay(down, across);
    laid.settings = settings;
    const told = settings.map((one) => () => encodingOf(MODEL.codes, valuesOf(MODEL.codes, one)));
    const done = await artist.many(told, (image, i) => paint(cells[i].firstChild, image), () => mine === round && state.show === "sheet");
    if (done) at("sheet").dataset.done = `${mine}`;
  }

  return {
    draw,
    picture: () => composed(laid.rows, laid.heads, laid.cells.map((cell) => cell.firstChild)),
  };
}

// ------------------------------------------------------------------ a journey
const SECONDS = 2; // from one end to the other
const FRAMES = 24; // of a saved animation, each way
const eased = (share) => (1 - Math.cos(Math.PI * share)) / 2;

function journeyView(artist, changed) {
  let playing = 0;

  const told = (share) => {
    const [from, to] = [state.from, state.to].map((setting) => valuesOf(MODEL.codes, setting));
    return encodingBetween(MODEL.codes, from, to, share);
  };
  const show = () => artist.now(told(state.share), (image) => paint(at("between"), image));

  function scrub(share) {
    state.share = share;
    at("share").value = share;
    at("share").style.setProperty("--v", `${100 * share}%`);
    at("share").setAttribute("aria-valuetext", `${Math.round(100 * share)} % of the way`);
    show();
  }

  function play(on) {
    const mine = ++playing;
    at("play").textContent = on ? "Pause" : "Play";
    at("play").setAttribute("aria-pressed", on);
    if (!on) return;
    const begun = performance.now() - 1000 * SECONDS * state.share;
    const step = (time) => {
      if (mine !== playing || state.show !== "journey") return;
      const place = Math.max(0, (time - begun) / 1000 / SECONDS) % 2;
      scrub(eased(place > 1 ? 2 - place : place));
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  let round = 0;
  function ends() {
    const mine = ++round;
    for (const end of ["from", "to"]) {
      const values = encodingOf(MODEL.codes, valuesOf(MODEL.codes, state[end]));
      artist.many([() => values], (image) => paint(at(`end-${end}`), image), () => mine === round);
      at(`choose-${end}`).setAttribute("aria-pressed", state.end === end);
    }
  }

  function choose(end) {
    state.end = end;
    play(false);
    changed();
    scrub(end === "from" ? 0 : 1);
  }

  at("choose-from").addEventListener("click", () => choose("from"));
  at("choose-to").addEventListener("click", () => choose("to"));
  at("play").addEventListener("click", () => play(at("play").getAttribute("aria-pressed") !== "true"));
  at("share").addEventListener("input", () => {
    play(false);
    scrub(Number(at("share").value));
  });
  at("film").addEventListener("click", async () => {
    const button = at("film");
    button.disabled = true;
    try {
      const there = Array.from({ length: FRAMES }, (_, i) => () => told(eased(i / (FRAMES - 1))));
      const images = [];
      await artist.many(there, (image) => images.push(image.slice()));
      save(await animation([...images, ...images.slice(1, -1).reverse()], 40), fileName("gif"));
    } finally {
      button.disabled = false;
    }
  });

  return {
    draw() {
      ends();
      if (at("play").getAttribute("aria-pressed") !== "true") scrub(state.end === "from" ? 0 : 1);
    },
    stop: () => play(false),
  };
}
