// Who draws. An engine takes encodings, one object (code name -> Float32Array) for each image, and gives as many images as
// Uint8Array of height x width x channels.

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

async function unpacked(id) {
  const packed = new Blob([bytesOf(document.getElementById(id).textContent)]);
  const stream = packed.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function library(id) {
  const url = URL.createObjectURL(new Blob([await unpacked(id)], { type: "text/javascript" }));
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

function columns(codes, told) {
  return codes.map((code) => {
    const width = told[0][code.name].length;
    const column = new Float32Array(told.length * width);
    told.forEach((one, i) => column.set(one[code.name], i * width));
    return [code.input, column, width];
  });
}

const split = (pixels, count) => {
  const each = pixels.length / count;
  return Array.from({ length: count }, (_, i) => pixels.subarray(i * each, (i + 1) * each));
};

// ONNX Runtime Web on one thread: a file opened from disk may not have more.
async function offlineEngine(model) {
  const [ort, wasm, graph] = await Promise.all([library("runtime"), unpacked("runtime-wasm"), unpacked("graph")]);
  ort.env.wasm.wasmBinary = wasm.buffer;
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
  return {
    least: 1,
    most: 16, // images in one pass; the page must stay alive between passes
    async draw(told) {
      const feeds = {};
      for (const [name, column, width] of columns(model.codes, told)) {
        feeds[name] = new ort.Tensor("float32", column, [told.length, width]);
      }
      const { pixels } = await session.run(feeds);
      return split(pixels.data, told.length);
    },
  };
}

// gander explore: PyTorch, beside the page.
const BUSY = 503; // the server has too much to do: what was asked may be asked again

// Asks the server, for the codes this page was made for; the answer, or an error in the server's words.
async function ask(question, body) {
  const headers = { "Content-Type": "application/octet-stream" };
  const answer = await fetch(`${question}?codes=${MODEL.server.codes}`, body ? { method: "POST", body, headers } : {});
  if (answer.ok) return answer;
  throw Object.assign(new Error(await answer.text()), { status: answer.status });
}

async function serverEngine(model) {
  async function patient(body) {
    for (let wait = 100; ; wait *= 2) {
      try {
        return await ask("draw", body);
      } catch (error) {
        if (error.status !== BUSY || wait > 2000) throw error;
        await new Promise((resume) => setTimeout(resume, wait));
      }
    }
  }
  return {
    least: model.server.pass, // images that the server draws in the time of one
    most: model.server.most,
    async draw(told) {
      const sent = columns(model.codes, told);
      const width = sent.reduce((sum, [, , w]) => sum + w, 0);
      const body = new Float32Array(told.length * width);
      let at = 0;
      for (const [, column, w] of sent) {
        for (let i = 0; i < told.length; i++) body.set(column.subarray(i * w, (i + 1) * w), i * width + at);
        at += w;
      }
      const answer = await patient(body.buffer);
      return split(new Uint8Array(await answer.arrayBuffer()), told.length);
    },
  };
}

// How many images the page has shown, for whoever watches it.
function noted(count) {
  if (!performance.getEntriesByName("first image").length) performance.mark("first image");
  document.body.dataset.drawn = Number(document.body.dataset.drawn ?? 0) + count;
}

// One image at a time goes first; long work (sheets, thumbnails, films) is cut into passes and lets it by.
// `failed` is told what went wrong.
function artist(engine, failed) {
  let busy = null;
  let waiting = null; // the latest single image asked for; an older one is forgotten
  let slow = 8; // milliseconds an image, measured

  // Null where nobody wants it any more when its turn has come.
  async function pass(told, wanted = () => true) {
    while (busy) await busy.catch(() => {}); // whoever asked for it hears what went wrong
    if (!wanted()) return null;
    const begun = performance.now();
    busy = engine.draw(told);
    try {
      return await busy;
    } finally {
      busy = null;
      slow = 0.8 * slow + 0.2 * ((performance.now() - begun) / told.length);
    }
  }

  async function now(told, show) {
    if (waiting) {
      waiting = { told, show };
      return;
    }
    waiting = { told, show };
    while (waiting) {
      const { told: latest, show: then } = waiting;
      let image;
      try {
        [image] = await pass([latest]);
      } catch (error) {
        waiting = null; // the next turn of a knob asks again
        return failed(error);
      }
      if (waiting.told === latest) waiting = null;
      then(image);
      noted(1);
    }
  }

  // `told` are functions that give an encoding when its turn comes; `each(image, index)` is called as images come; false from `going` stops.
  async function many(told, each, going = () => true) {
    let next = 0;
    while (next < told.length && going()) {
      const count = Math.min(engine.most, Math.max(engine.least, Math.round(30 / slow)));
      let images;
      try {
        images = await pass(told.slice(next, next + count).map((one) => one()), going);
      } catch (error) {
        failed(error);
        return false;
      }
      if (!images) return false;
      images.forEach((image, i) => each(image, next + i));
      noted(images.length);
      next += images.length;
      await new Promise((resume) => setTimeout(resume));
    }
    return next >= told.length;
  }

  return { now, many };
}
