// The playground: networks of the course, exported to ONNX, on what is drawn.
import * as ort from "./ort.wasm.bundle.min.mjs";
import { makePad, SIDE } from "./pad.js";
import { TEXTS } from "./texts.js";

const SIZE = 28; // pixels on each side of an image
const BOX = 20; // of the box that MNIST scales digits to
const SAMPLES = 4; // on each side of a pixel, where a drawing is scaled down
const CODE = 32;

const $ = (id) => document.getElementById(id);
const networks = {};
// What is shown; the tests read it.
const state = { label: 3, seed: 1, busy: false };
window.playground = { state };

// --- images --------------------------------------------------------------------

// Where the ink of a drawing begins and ends, and its center of mass, along one axis.
function extent(sums) {
  let first = -1, last = 0, mass = 0, moment = 0;
  sums.forEach((sum, i) => {
    if (!sum) return;
    if (first < 0) first = i;
    last = i;
    mass += sum;
    moment += sum * (i + 0.5);
  });
  return { first, length: last + 1 - first, middle: moment / mass };
}

// Brings a drawing to the size and the place of MNIST's digits; the same numbers as
// `as_digit` in convae_keras/playground.py.
export function asDigit(drawing) {
  const digit = new Float32Array(SIZE * SIZE);
  const rows = new Array(SIDE).fill(0), columns = new Array(SIDE).fill(0);
  drawing.forEach((value, i) => {
    rows[Math.floor(i / SIDE)] += value;
    columns[i % SIDE] += value;
  });
  if (!rows.some(Boolean)) return digit;
  const axes = [extent(rows), extent(columns)];
  const step = Math.max(axes[0].length, axes[1].length) / BOX;
  const [ys, xs] = axes.map(({ first, middle }) => {
    const start = Math.ceil(SIZE / 2 - (middle - first) / step);
    const place = (i) => Math.floor(first + step * ((i + 0.5) / SAMPLES - start));
    return Array.from({ length: SIZE * SAMPLES }, (_, i) => place(i));
  });
  const inside = (i) => i >= 0 && i < SIDE;
  ys.forEach((y, i) => xs.forEach((x, j) => {
    if (!inside(y) || !inside(x)) return;
    const pixel = Math.floor(i / SAMPLES) * SIZE + Math.floor(j / SAMPLES);
    digit[pixel] += drawing[y * SIDE + x] / (255 * SAMPLES * SAMPLES);
  }));
  return digit;
}

// Draws numbers in [0, 1] on a canvas, `width` in a row.
function show(id, values, width = SIZE) {
  const canvas = $(id), height = values.length / width;
  Object.assign(canvas, { width, height });
  const rgba = new Uint8ClampedArray(4 * values.length).fill(255);
  values.forEach((value, i) => rgba.fill(255 * value, 4 * i, 4 * i + 3));
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
}

// Normal numbers that depend on the seed only (mulberry32; Box and Muller).
function normal(count, seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const draw = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return Float32Array.from({ length: count }, draw);
}

const mix = (a, b, way) => a.map((value, i) => (1 - way) * value + way * b[i]);

// --- networks ------------------------------------------------------------------

async function run(name, ...inputs) {
  const network = networks[name];
  const feeds = Object.fromEntries(network.inputNames.map((key, i) => [key, inputs[i]]));
  const outputs = await network.run(feeds);
  return outputs[network.outputNames[0]].data;
}

const image = (x) => new ort.Tensor("float32", x, [1, SIZE, SIZE, 1]);
const vector = (x) => new ort.Tensor("float32", x, [1, CODE]);
const encode = (x) => run("encoder", image(x));
const decode = (code) => run("decoder", vector(code));

function generate() {
  const label = new ort.Tensor("int32", Int32Array.of(state.label), [1]);
  return run("generator", vector(normal(CODE, state.seed)), label);
}

async function compute() {
  const input = asDigit(pad.read()), code = await encode(input);
  const reconstruction = await decode(code);
  const noise = normal(input.length, 7), stddev = Number($("noise").value);
  const noisy = input.map((x, i) => Math.min(1, Math.max(0, x + stddev * noise[i])));
  const denoised = await run("denoiser", image(noisy));
  const generated = await generate(), way = Number($("way").value);
  const morphed = await decode(mix(code, await encode(generated), way));
  const blended = mix(input, generated, way);
  return { input, code, reconstruction, noisy, denoised, generated, morphed, blended };
}

// Draws everything. What comes while it is computing makes it compute once more.
let again = false;
async function update() {
  again = true;
  if (state.busy) return;
  state.busy = true;
  while (again) {
    again = false;
    const start = performance.now();
    Object.assign(state, await compute());
    state.milliseconds = performance.now() - start;
    const { code, ...images } = state;
    for (const id of ["input", "reconstruction", "noisy", "denoised"]) show(id, images[id]);
    for (const id of ["generated", "morphed", "blended"]) show(id, images[id]);
    show("code", code.map((value) => 0.5 + value / 8), 8);
    const squares = state.input.map((x, i) => (x - state.reconstruction[i]) ** 2);
    $("error").value = (squares.reduce((a, b) => a + b) / squares.length).toFixed(4);
    $("stddev").value = Number($("noise").value).toFixed(2);
    say("ready", Math.round(state.milliseconds));
  }
  state.busy = false;
}

// --- the page --------------------------------------------------------------------

let language = navigator.language.startsWith("zh") ? "zh" : "en";
let status = ["loading", ""];

function say(key, detail = "") {
  status = [key, detail];
  $("status").textContent = `${TEXTS[language][key]} ${detail}`;
  $("status").className = key;
}

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : language;
  document.title = TEXTS[language].page;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = TEXTS[language][element.dataset.text];
  }
  $("language").textContent = TEXTS[language].other;
  say(...status);
}

const pad = makePad(update);
$("pad").append(pad);
window.playground.pad = pad;
$("language").onclick = () => {
  language = language === "en" ? "zh" : "en";
  translate();
};
$("clear").onclick = () => {
  pad.clear();
  update();
};
for (const id of ["noise", "way"]) $(id).oninput = update;
for (let label = 0; label < 10; label++) {
  const button = document.createElement("button");
  button.textContent = label;
  button.onclick = () => {
    Object.assign(state, { label, seed: state.seed + 1 });
    update();
  };
  $("labels").append(button);
}
translate();

// One thread: a page with more has to be served with special headers.
ort.env.wasm.numThreads = 1;
try {
  for (const name of ["encoder", "decoder", "denoiser", "generator"]) {
    networks[name] = await ort.InferenceSession.create(`${name}.onnx`);
  }
  const first = await generate(), zoom = SIDE / SIZE;
  const pixel = (i) => Math.floor(Math.floor(i / SIDE) / zoom) * SIZE + Math.floor((i % SIDE) / zoom);
  pad.write(Uint8Array.from({ length: SIDE * SIDE }, (_, i) => 255 * first[pixel(i)]));
  state.label = 5;
  await update();
} catch (error) {
  say("failed", error.message);
  throw error;
}
