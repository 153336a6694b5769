// The model this page was made for: its codes and how they are drawn, what each is worth, and who it is.

const MODEL = JSON.parse(document.getElementById("model").textContent);
const KNOBS = MODEL.codes.filter((code) => !code.noise);
