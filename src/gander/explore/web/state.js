// What is being shown, and the link that brings it back.

const LAST_SEED = 2 ** 48 - 1;
const table = (...some) => Object.assign(Object.create(null), ...some); // a code may be called "constructor"
const fresh = (seed = 0) => ({ seed, set: table(), found: null });

const state = { show: "image", from: fresh(0), to: fresh(1), end: "from", share: 0, rows: "", columns: "" };

// The setting the knobs turn: the picture's, or the chosen end of the journey.
const current = () => (state.show === "journey" ? state[state.end] : state.from);

const codeOf = (part) => MODEL.codes.find((code) => code.name === part.split(".")[0]);

// A value a link may ask for, or null.
function allowed(part, text) {
  const code = codeOf(part);
  const value = Number(text);
  if (!code || code.noise || text === "" || !Number.isFinite(value)) return null;
  const names = Array.from({ length: parts(code) }, (_, i) => partName(code, i));
  if (!names.includes(part)) return null;
  if (code.kind === "categorical") return Number.isInteger(value) && value >= 0 && value < code.size ? value : null;
  if (code.kind === "binary") return value > 0.5 ? 1 : 0;
  if (code.kind === "circular") return wrap(value);
  return Math.max(code.ends[0], Math.min(code.ends[1], value));
}

const seedOf = (text) => Math.max(0, Math.min(LAST_SEED, Math.round(Number(text)) || 0));

function settingFrom(query, prefix, seed) {
  const setting = fresh(query.has(`${prefix}seed`) ? seedOf(query.get(`${prefix}seed`)) : seed);
  for (const word of (query.get(`${prefix}set`) ?? "").split(",")) {
    const [part, text = ""] = word.split(":");
    const value = allowed(part, text);
    if (value !== null) setting.set[part] = value;
  }
  setting.found = foundFrom(query.get(`${prefix}found`));
  return setting;
}

// Values found in a picture travel as the float32 numbers of every code, one after the other.
function foundFrom(text) {
  if (!text) return null;
  try {
    const bytes = bytesOf(text.replaceAll("-", "+").replaceAll("_", "/"));
    const numbers = new Float32Array(bytes.buffer);
    const count = MODEL.codes.reduce((sum, code) => sum + parts(code), 0);
    if (numbers.length !== count || !numbers.every(Number.isFinite)) return null;
    let at = 0;
    const found = table();
    for (const code of MODEL.codes) {
      const value = Array.from(numbers.subarray(at, (at += parts(code))));
      found[code.name] = code.kind === "categorical" ? [Math.max(0, Math.min(code.size - 1, Math.round(value[0])))] : value;
    }
    return found;
  } catch {
    return null;
  }
}

function foundText(found) {
  const numbers = Float32Array.from(MODEL.codes.flatMap((code) => found[code.name]));
  const text = btoa(String.fromCharCode(...new Uint8Array(numbers.buffer)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function settingTo(words, prefix, setting) {
  words.push(`${prefix}seed=${setting.seed}`);
  const set = Object.entries(setting.set).map(([part, value]) => `${part}:${value}`);
  if (set.length) words.push(`${prefix}set=${set.join(",")}`);
  if (setting.found) words.push(`${prefix}found=${foundText(setting.found)}`);
}

function toLink() {
  const words = [];
  settingTo(words, "", state.from);
  if (state.show !== "image") words.push(`show=${state.show}`);
  if (state.show === "sheet") words.push(`rows=${state.rows}`, `columns=${state.columns}`);
  if (state.show === "journey") settingTo(words, "to-", state.to);
  return `#${words.join("&")}`;
}

function fromLink(hash) {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  state.from = settingFrom(query, "", 0);
  state.to = settingFrom(query, "to-", Math.min(LAST_SEED, state.from.seed + 1));
  state.end = "from";
  state.show = ["sheet", "journey"].includes(query.get("show")) ? query.get("show") : "image";
  for (const axis of ["rows", "columns"]) {
    if (AXES.some(({ id }) => id === query.get(axis))) state[axis] = query.get(axis);
  }
}

// What a sheet can have along its sides: every part of every knob, and seeds.
const AXES = [
  ...KNOBS.flatMap((code) =>
    Array.from({ length: parts(code) }, (_, part) => ({
      id: partName(code, part),
      label: partLabel(code, part),
      points: code.points,
      names: code.points.map((value) => said(code, value)),
    })),
  ),
  { id: "", label: "seeds", points: null },
];

function axis(id, setting) {
  const found = AXES.find((one) => one.id === id) ?? AXES.at(-1);
  if (found.points) return found;
  const seeds = Array.from({ length: 8 }, (_, i) => Math.min(LAST_SEED, setting.seed + i));
  return { ...found, points: seeds, names: seeds.map((seed) => `seed ${seed}`) };
}

// The setting with one axis at one of its points; a found picture's noise gives way to a seed asked for.
function placed(setting, id, value) {
  return id === "" ? { ...setting, seed: value, found: null } : { ...setting, set: table(setting.set, { [id]: value }) };
}

// ------------------------------------------------------------------ in words
function described(setting, values) {
  const words = KNOBS.flatMap((code) =>
    values[code.name].map((value, part) => `${partLabel(code, part)} ${said(code, value)}`).slice(0, 6),
  );
  return [setting.found ? "found in a picture" : `seed ${setting.seed}`, ...words].join(", ");
}

const quoted = (word) => (/^[\w.,:=+\/-][\w.,:=#+\/-]*$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

// One part of a code as --set takes it; a class by its name.
function ordered(part, values) {
  const code = codeOf(part);
  const said = values.map((value) => (code.kind === "categorical" ? code.options[value] : value));
  return quoted(`${part}=${said.join(",")}`);
}

// The command that draws what is shown: the same image, the same sheet, the same way.
function command() {
  const { from, to, show, rows, columns } = state;
  if (from.found || (show === "journey" && to.found)) return "# this setting starts from a picture; the link holds it";
  const run = `gander sample ${quoted(MODEL.run)}`;
  const set = (words) => (words.length ? ` --set ${words.join(" ")}` : "");
  const said = (besides) => Object.keys(from.set).filter((part) => !besides.includes(part)).map((part) => ordered(part, [from.set[part]]));
  if (show === "journey") {
    const ends = [from, to].map((setting) => valuesOf(MODEL.codes, setting));
    const turned = KNOBS.flatMap((code) => Array.from({ length: parts(code) }, (_, i) => [partName(code, i), code, i]));
    const both = turned.filter(([part]) => part in from.set || part in to.set);
    const words = both.map(([part, code, i]) => ordered(part, ends.map((values) => values[code.name][i])));
    return `${run} --seeds ${from.seed},${to.seed}${set(words)} --film journey.gif`;
  }
  if (show === "sheet" && rows && columns) {
    const swept = [rows, columns].map((part) => `--sweep ${quoted(part)}`);
    return `${run} --seed ${from.seed} ${swept.join(" ")}${set(said([rows, columns]))} --out sheet.png`;
  }
  if (show === "sheet" && !rows && !columns) return `${run} --seed ${from.seed} --sheet 8x8${set(said([]))} --out sheet.png`;
  return `${run} --seed ${from.seed} --n 1${set(said([]))} --out picture.png`;
}

function fileName(ending) {
  const set = Object.entries(state.from.set).map(([part, value]) => `-${part}-${said(codeOf(part), value)}`);
  const name = `${MODEL.name}-seed-${state.from.seed}${set.join("")}`.replace(/[#°]/g, "").replace(/[^\w.+-]+/g, "-").slice(0, 120);
  return `${name}.${ending}`;
}
