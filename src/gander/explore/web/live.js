// What only gander explore adds: codes read from a dropped picture, and a run watched while it trains.

const POLL = 3000; // milliseconds
const LOST = "The server has stopped; start gander explore again.";
const LARGEST_PICTURE = 20e6; // bytes

function liveView(changed) {
  const { read, find } = MODEL.server;
  const note = (text) => (at("dropped-note").textContent = text);
  let latest = 0; // an answer about an older picture comes too late

  // Asks about a picture, and says so meanwhile; `use` takes the answer, unless another picture came since.
  async function about(question, file, meanwhile, use) {
    const mine = ++latest;
    at("dropped").hidden = false;
    at("find").hidden = true;
    note(meanwhile);
    try {
      if (file.size > LARGEST_PICTURE) throw new Error(`This picture has ${Math.round(file.size / 1e6)} MB; at most 20 MB can be read.`);
      const told = await (await ask(question, file)).json();
      if (mine !== latest) return;
      at("seen").src = told.seen;
      at("seen").hidden = false;
      note(told.text);
      use(told);
    } catch (error) {
      if (mine !== latest) return;
      at("seen").hidden = true;
      note(error instanceof TypeError ? LOST : error.message); // a request that reaches nobody is a TypeError
    }
  }

  function take(file) {
    if (!file || !(read || find)) return;
    if (!read) return search(file);
    about("read", file, "reading …", ({ codes }) => {
      state.from = fresh(state.from.seed);
      for (const [part, value] of Object.entries(codes)) {
        const good = allowed(part, String(Number.isInteger(value) ? value : Number(value.toPrecision(4))));
        if (good !== null) state.from.set[part] = good;
      }
      state.show = "image";
      changed();
      at("find").hidden = !find;
      at("find").onclick = () => search(file);
    });
  }

  // The codes and the noise: then the drawing is the picture, as far as the model can draw it.
  function search(file) {
    about("find", file, "looking for the noise that draws it …", ({ found }) => {
      state.from = { ...fresh(state.from.seed), found };
      state.show = "image";
      changed();
    });
  }

  const area = document.body;
  area.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  area.addEventListener("dragleave", (event) => event.relatedTarget || area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  area.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  at("file").addEventListener("change", () => {
    take(at("file").files[0]);
    at("file").value = ""; // the same file may be chosen again
  });

  let seen = MODEL.images_seen;
  let lost = false;
  async function watch() {
    try {
      const status = await (await ask("status")).json();
      at("status").textContent = status.text;
      if (status.images_seen !== seen || lost) changed();
      seen = status.images_seen;
      lost = false;
    } catch (error) {
      at("status").textContent = error.status ? error.message : LOST;
      lost = !error.status;
    }
    setTimeout(watch, POLL);
  }
  at("live").hidden = false;
  at("drop").hidden = !(read || find);
  if (!read) at("drop").querySelector("span").textContent = "Drop a picture anywhere on the page, or choose one: the noise and the codes that draw it are looked for.";
  watch();
}
