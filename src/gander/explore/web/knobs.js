// One card for each code: its name, what it is worth, and the control that turns it.

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
};

const tidy = (number) => String(Number(Number(number).toPrecision(4)) + 0);
const degrees = (radians) => `${Math.round((radians * 180) / Math.PI)}°`;

// What a value is called: a class's name, an angle in degrees, on or off, a number.
function said(code, value) {
  if (code.kind === "categorical") return code.options[value];
  if (code.kind === "circular") return degrees(value);
  if (code.kind === "binary") return value ? "on" : "off";
  return tidy(value);
}

const partLabel = (code, part) => {
  if (code.kind === "binary" && code.size > 1 && code.options[part] !== String(part)) return code.options[part];
  return parts(code) > 1 ? `${code.label} ${part}` : code.label;
};

// `turn(part name, value)` is told what a person does, `release(code)` that a code shall follow the seed again.
function knob(code, turn, release) {
  const build = { categorical: classes, binary: switches, circular: dials }[code.kind] ?? sliders;
  const body = build(code, turn);
  const free = make(
    "button",
    { type: "button", class: "free", onclick: () => release(code), "aria-label": `Let go of ${code.label}: it follows the seed`, title: "let it follow the seed" },
    "let go",
  );
  const alias = code.label === code.name ? null : make("small", {}, code.name);
  const follows = code.follows ? make("span", { class: "worth follows" }, code.follows) : null;
  const top = make("div", { class: "top" }, make("h2", { id: `name-${code.name}` }, code.label, " ", alias), worth(code), free, follows);
  const group = { class: "knob", role: "group", "aria-labelledby": `name-${code.name}`, "data-code": code.name };
  const element = make("section", group, top, body.element);
  return {
    code,
    element,
    thumbnails: body.thumbnails,
    show(value, setting) {
      const turned = value.some((_, part) => partName(code, part) in setting.set);
      element.classList.toggle("turned", turned);
      free.hidden = !turned;
      body.show(value);
    },
  };
}

function worth(code) {
  if (!code.worth) return make("span", { class: "worth soft", title: code.unmeasured }, "not measured");
  const { value, floor, ceiling, text, about } = code.worth;
  const share = Math.max(0, Math.min(1, (value - floor) / (ceiling - floor || 1)));
  const meter = make("i", { class: "bar", style: `--v:${Math.round(100 * share)}%`, "aria-hidden": "true" });
  return make("button", { type: "button", class: "worth", title: about, "aria-expanded": "false", onclick: explain }, meter, text);
}

// What a figure means, for those who cannot hover over it: below it, until it is touched again.
function explain(event) {
  const button = event.currentTarget;
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  const top = button.closest(".top");
  if (open) top.nextElementSibling.remove();
  else top.after(make("p", { class: "about soft", role: "note" }, button.title));
}

// ------------------------------------------------------------------ controls
function sliders(code, turn) {
  const rows = Array.from({ length: code.size }, (_, part) => {
    const name = partName(code, part);
    const output = make("output", {});
    const input = make("input", {
      type: "range",
      min: code.ends[0],
      max: code.ends[1],
      step: (code.ends[1] - code.ends[0]) / 400,
      id: `knob-${name}`,
      "data-part": name,
      "aria-label": partLabel(code, part),
    });
    input.addEventListener("input", () => turn(name, Number(Number(input.value).toPrecision(5))));
    const words = code.words ? make("div", { class: "words soft" }, make("span", {}, code.words[0]), make("span", {}, code.words[1])) : null;
    const before = code.size > 1 ? make("label", { for: `knob-${name}`, class: "soft" }, String(part)) : null;
    return { input, output, element: make("div", { class: "slider" }, before, input, output, words) };
  });
  return {
    element: make("div", { class: "sliders" }, ...rows.map((row) => row.element)),
    show: (value) =>
      rows.forEach(({ input, output }, part) => {
        if (document.activeElement !== input || Math.abs(Number(input.value) - value[part]) > Number(input.step)) input.value = value[part];
        input.style.setProperty("--v", `${(100 * (value[part] - code.ends[0])) / (code.ends[1] - code.ends[0])}%`);
        input.setAttribute("aria-valuetext", spoken(code, value[part]));
        output.textContent = tidy(value[part].toFixed(3));
      }),
  };
}

// A number with what its end of the scale looks like.
function spoken(code, value) {
  const word = code.words?.[value < (code.ends[0] + code.ends[1]) / 2 ? 0 : 1];
  return word ? `${tidy(value.toFixed(3))}, towards ${word}` : tidy(value.toFixed(3));
}

function classes(code, turn) {
  const thumbnails = [];
  const inputs = code.options.map((option, k) => {
    const input = make("input", { type: "radio", name: `class-${code.name}`, value: k, "data-part": code.name, "data-value": k });
    input.addEventListener("input", () => turn(code.name, k));
    return input;
  });
  const labels = inputs.map((input, k) => {
    const canvas = make("canvas", { width: WIDTH, height: HEIGHT, "aria-hidden": "true" });
    thumbnails.push(canvas);
    const sure = code.confidence?.[k];
    const name = make("span", {}, code.options[k]);
    const title = sure ? `${code.options[k]}, named with confidence ${sure.toFixed(2)}` : code.options[k];
    return make("label", { class: "class", title }, input, canvas, name);
  });
  const longest = Math.max(...code.options.map((option) => option.length));
  const cell = Math.max(46, Math.min(120, 14 + 7 * longest));
  const box = make(
    "div",
    { class: `classes${code.size > 24 ? " many" : ""}`, style: `--cell: ${cell}px`, role: "radiogroup", "aria-labelledby": `name-${code.name}` },
    ...labels,
  );
  let shown = -1;
  return {
    element: box,
    thumbnails,
    show([chosen]) {
      inputs.forEach((input, k) => (input.checked = k === chosen));
      const label = labels[chosen];
      const hidden = label.offsetTop < box.scrollTop || label.offsetTop + label.offsetHeight > box.scrollTop + box.clientHeight;
      if (shown !== chosen && hidden) box.scrollTop = label.offsetTop - box.clientHeight / 2;
      shown = chosen;
    },
  };
}

function switches(code, turn) {
  const inputs = Array.from({ length: code.size }, (_, part) => {
    const name = partName(code, part);
    const input = make("input", { type: "checkbox", role: "switch", "data-part": name, "aria-label": partLabel(code, part) });
    input.addEventListener("input", () => turn(name, input.checked ? 1 : 0));
    return input;
  });
  const labels = inputs.map((input, part) => make("label", { class: "switch" }, input, make("i"), make("span", {}, code.size > 1 ? code.options[part] : "")));
  return {
    element: make("div", { class: "switches" }, ...labels),
    show: (value) => inputs.forEach((input, part) => (input.checked = value[part] > 0.5)),
  };
}

const DIAL_STEP = Math.PI / 36;

function dials(code, turn) {
  const all = Array.from({ length: code.size }, (_, part) => dial(code, part, turn));
  return {
    element: make("div", { class: "dials" }, ...all.map((one) => one.element)),
    show: (value) => all.forEach((one, part) => one.show(value[part])),
  };
}

function dial(code, part, turn) {
  let angle = 0;
  const name = partName(code, part);
  const hand = make("i", { class: "hand" });
  const face = make(
    "div",
    { class: "dial", role: "slider", tabindex: "0", "aria-label": partLabel(code, part), "aria-valuemin": -180, "aria-valuemax": 180, "data-part": name },
    hand,
  );
  const set = (radians) => turn(name, Number(wrap(radians).toFixed(4)));
  const follow = (event) => {
    const box = face.getBoundingClientRect();
    set(Math.atan2(box.top + box.height / 2 - event.clientY, event.clientX - box.left - box.width / 2));
  };
  face.addEventListener("pointerdown", (event) => {
    face.setPointerCapture(event.pointerId);
    follow(event);
  });
  face.addEventListener("pointermove", (event) => face.hasPointerCapture(event.pointerId) && follow(event));
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 6, PageDown: -6 };
  face.addEventListener("keydown", (event) => {
    if (event.key in steps) set(angle + steps[event.key] * DIAL_STEP);
    else if (event.key === "Home") set(0);
    else return;
    event.preventDefault();
  });
  const output = make("output", {});
  return {
    element: make("div", { class: "dialled" }, face, output),
    show(value) {
      angle = value;
      hand.style.transform = `rotate(${-value}rad)`;
      face.setAttribute("aria-valuenow", Math.round((value * 180) / Math.PI));
      face.setAttribute("aria-valuetext", degrees(value));
      output.textContent = degrees(value);
    },
  };
}
