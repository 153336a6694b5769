// Randomness as a function of position, as gander/rng.py has it: the raw bits are Philox4x64-10 (Salmon et al., 2011), so
// that a seed means the same image here, on the command line and in Python.

const WORD = (1n << 64n) - 1n;
const [MULTIPLY_0, MULTIPLY_1] = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const [WEYL_0, WEYL_1] = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];
const WORDS_PER_BLOCK = 4;

// Four 64-bit words of a counter under a key.
function philox(counter, key0, key1) {
  let [c0, c1, c2, c3] = [counter & WORD, counter >> 64n, 0n, 0n];
  for (let round = 0; round < 10; round++) {
    const [a, b] = [MULTIPLY_0 * c0, MULTIPLY_1 * c2];
    [c0, c1, c2, c3] = [(b >> 64n) ^ c1 ^ key0, b & WORD, (a >> 64n) ^ c3 ^ key1, a & WORD];
    key0 = (key0 + WEYL_0) & WORD;
    key1 = (key1 + WEYL_1) & WORD;
  }
  return [c0, c1, c2, c3];
}

// The drawing stream at a seed: `count` numbers in [0, 1) with 53 bits.
function uniforms(seed, streamKey, count) {
  const blocks = Math.ceil(count / WORDS_PER_BLOCK);
  const first = BigInt(seed) * BigInt(blocks) + 1n; // numpy counts from one
  const found = new Float64Array(blocks * WORDS_PER_BLOCK);
  for (let block = 0; block < blocks; block++) {
    philox(first + BigInt(block), 0n, streamKey).forEach((word, i) => {
      found[block * WORDS_PER_BLOCK + i] = Number(word >> 11n) * 2 ** -53;
    });
  }
  return found.subarray(0, count);
}

// Box-Muller: uniforms to as many standard normals.
function normals(u) {
  const half = u.length / 2;
  const found = new Float64Array(u.length);
  for (let i = 0; i < half; i++) {
    const radius = Math.sqrt(-2 * Math.log1p(-u[i]));
    const angle = 2 * Math.PI * u[half + i];
    found[i] = radius * Math.cos(angle);
    found[half + i] = radius * Math.sin(angle);
  }
  return found;
}
