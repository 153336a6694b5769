// What a code is, as gander/kinds has it: how it is drawn from uniform numbers, what the generator is told of a value, and of a
// point between two. A value is an array of numbers; a class is an array of one index.

const straight = (from, to, share) => from.map((x, i) => x + (to[i] - x) * share);
const wrap = (angle) => angle - 2 * Math.PI * Math.floor((angle + Math.PI) / (2 * Math.PI));
const size = (vector) => Math.hypot(...vector);

const plain = {
  encode: (code, value) => value,
  between: (code, a, b, share, encode) => straight(encode(code, a), encode(code, b), share),
};

const KINDS = {
  gaussian: {
    ...plain,
    draw: (code, u) => Array.from(normals(u).subarray(0, code.size)),
    between(code, a, b, share) {
      const found = straight(a, b, share);
      if (a.length === 1) return found;
      const scale = (size(a) + (size(b) - size(a)) * share) / Math.max(size(found), 1e-6);
      return found.map((x) => x * scale);
    },
  },
  uniform: {
    ...plain,
    draw: (code, u) => Array.from(u, (x) => (code.quantiles ? knotted(code.quantiles, x) : code.low + (code.high - code.low) * x)),
    encode: (code, value) => value.map((x) => (x - code.low) / ((code.high - code.low) / 2) - 1),
  },
  categorical: {
    ...plain,
    draw: (code, u) => [Math.min(code.edges.filter((edge) => edge <= u[0]).length, code.size - 1)],
    encode: (code, value) => Array.from({ length: code.size }, (_, k) => (k === value[0] ? 1 : 0)),
  },
  binary: {
    ...plain,
    draw: (code, u) => Array.from(u, (x, i) => (x < code.chances[i] ? 1 : 0)),
    encode: (code, value) => value.map((x) => 2 * x - 1),
  },
  circular: {
    ...plain,
    draw: (code, u) => Array.from(u, (x) => (2 * x - 1) * Math.PI),
    encode: (code, value) => [...value.map(Math.cos), ...value.map(Math.sin)],
    between: (code, a, b, share, encode) => encode(code, a.map((x, i) => x + wrap(b[i] - x) * share)),
  },
};

// The quantile at a probability, straight between evenly spaced knots.
function knotted(knots, at) {
  const place = at * (knots.length - 1);
  const left = Math.min(Math.floor(place), knots.length - 2);
  return knots[left] + (knots[left + 1] - knots[left]) * (place - left);
}

// ------------------------------------------------------------------ settings
// A setting is what a person chose: a seed, the parts of codes that were turned ("c1": 0.3, "style.1": -1, "digit": 3), and values
// found in a dropped picture, which stand in for the seed's. Everything else follows the seed.

const partName = (code, part) => (code.kind === "categorical" || code.size === 1 ? code.name : `${code.name}.${part}`);
const parts = (code) => (code.kind === "categorical" ? 1 : code.size);

// What a code is at a seed. The last ones are remembered: a sheet asks for the same seed in every cell.
const remembered = new Map();
function drawnAt(code, seed) {
  const key = `${seed}/${code.name}`;
  if (!remembered.has(key)) {
    if (remembered.size > 2000) remembered.clear();
    remembered.set(key, KINDS[code.kind].draw(code, uniforms(seed, BigInt(code.key), code.uniforms)));
  }
  return remembered.get(key);
}

// Every code's value under a setting: name -> array.
function valuesOf(codes, setting) {
  const values = Object.create(null);
  for (const code of codes) {
    const drawn = setting.found?.[code.name] ?? drawnAt(code, setting.seed);
    values[code.name] = Array.from(drawn, (x, part) => setting.set[partName(code, part)] ?? x);
  }
  return values;
}

// What the generator is told: name -> Float32Array.
function encodingOf(codes, values) {
  return Object.fromEntries(codes.map((code) => [code.name, Float32Array.from(KINDS[code.kind].encode(code, values[code.name]))]));
}

// The same between two settings' values.
function encodingBetween(codes, from, to, share) {
  const told = (code) => {
    const kind = KINDS[code.kind];
    return kind.between(code, from[code.name], to[code.name], share, kind.encode);
  };
  return Object.fromEntries(codes.map((code) => [code.name, Float32Array.from(told(code))]));
}
