// Pixels to canvases and files.

const [CHANNELS, HEIGHT, WIDTH] = MODEL.shape;

function rgba(image) {
  const found = new Uint8ClampedArray(HEIGHT * WIDTH * 4);
  for (let i = 0; i < HEIGHT * WIDTH; i++) {
    const at = i * CHANNELS;
    const colour = CHANNELS > 2;
    found[4 * i] = image[at];
    found[4 * i + 1] = image[at + (colour ? 1 : 0)];
    found[4 * i + 2] = image[at + (colour ? 2 : 0)];
    found[4 * i + 3] = CHANNELS % 2 ? 255 : image[at + CHANNELS - 1];
  }
  return new ImageData(found, WIDTH, HEIGHT);
}

function paint(canvas, image) {
  if (canvas.width !== WIDTH) [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  canvas.getContext("2d").putImageData(rgba(image), 0, 0);
}

// A copy enlarged by a whole factor, so that a person can see it wherever it goes.
function enlarged(source, least) {
  const factor = Math.max(1, Math.ceil(least / Math.max(source.width, source.height)));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [source.width * factor, source.height * factor];
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function savePng(canvas, name) {
  return new Promise((done) => canvas.toBlob((content) => done(save(content, name)), "image/png"));
}

// A sheet with its headings as one picture.
function composed(rows, heads, cells) {
  const factor = Math.max(1, Math.ceil(56 / Math.max(HEIGHT, WIDTH)));
  const [wide, high] = [WIDTH * factor + 2, HEIGHT * factor + 2];
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  const font = "13px system-ui, sans-serif";
  pen.font = font;
  const left = Math.ceil(12 + Math.max(...rows.map((name) => pen.measureText(name).width)));
  const top = 24;
  [canvas.width, canvas.height] = [left + wide * heads.length, top + high * rows.length];
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  [pen.font, pen.fillStyle, pen.textBaseline, pen.imageSmoothingEnabled] = [font, "#3c3c3c", "middle", false];
  pen.textAlign = "center";
  heads.forEach((name, x) => pen.fillText(name, left + wide * (x + 0.5), top / 2, wide));
  pen.textAlign = "right";
  rows.forEach((name, y) => pen.fillText(name, left - 6, top + high * (y + 0.5)));
  cells.forEach((cell, i) => {
    const [x, y] = [i % heads.length, Math.floor(i / heads.length)];
    pen.drawImage(cell, left + wide * x + 1, top + high * y + 1, wide - 2, high - 2);
  });
  return canvas;
}

// Frames as an animation that runs for ever; `gap` is milliseconds between them.
async function animation(images, gap) {
  const gif = await library("gif");
  const frames = images.map((image) => {
    const small = document.createElement("canvas");
    paint(small, image);
    const large = enlarged(small, 240);
    return large.getContext("2d").getImageData(0, 0, large.width, large.height);
  });
  const gray = CHANNELS < 3;
  const palette = gray ? Array.from({ length: 256 }, (_, i) => [i, i, i]) : gif.quantize(sampled(frames), 256);
  const file = gif.GIFEncoder();
  frames.forEach(({ data, width, height }, i) => {
    const index = gray ? Uint8Array.from({ length: width * height }, (_, p) => data[4 * p]) : gif.applyPalette(data, palette);
    file.writeFrame(index, width, height, i ? { delay: gap } : { palette, delay: gap, repeat: 0 });
  });
  file.finish();
  return new Blob([file.bytes()], { type: "image/gif" });
}

// Some pixels of every frame: one palette for all of them does not flicker.
function sampled(frames) {
  const each = Math.ceil((frames.length * frames[0].data.length) / 4 / 200_000);
  const found = [];
  for (const { data } of frames) {
    for (let p = 0; p < data.length; p += 4 * each) found.push(data[p], data[p + 1], data[p + 2], 255);
  }
  return Uint8ClampedArray.from(found);
}
