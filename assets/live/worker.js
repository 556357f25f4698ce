// Follows the face beside the page, so that neither waits for the other. Gets pictures, answers with points.
import * as ort from "./ort.wasm.min.mjs";
import { Tracker } from "./tracker.js";

const LONGER_SIDE = 480;
const here = (name) => new URL(name, import.meta.url).href;
let tracker = null, canvas = null, pen = null;

async function open() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: here("./ort-wasm-simd-threaded.mjs"), wasm: here("./ort-wasm-simd-threaded.wasm") };
  const model = async (name) => new Uint8Array(await (await fetch(here(name))).arrayBuffer());
  tracker = await Tracker.open(ort, await model("./detector.onnx"), await model("./landmarks.onnx"));
}

function pixels(bitmap) {
  const scale = Math.min(1, LONGER_SIDE / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(Math.round(bitmap.width * scale), 1), height = Math.max(Math.round(bitmap.height * scale), 1);
  if (!canvas || canvas.width !== width || canvas.height !== height) {
    canvas = new OffscreenCanvas(width, height);
    pen = canvas.getContext("2d", { willReadFrequently: true });
  }
  pen.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return pen.getImageData(0, 0, width, height);
}

self.onmessage = async ({ data }) => {
  try {
    if (data.open) {
      await open();
      self.postMessage({ ready: true });
      return;
    }
    const start = performance.now();
    const { points, found, faces } = await tracker.next(pixels(data.bitmap));
    const copy = found ? points.slice() : null;
    const answer = { at: data.at, found, faces, points: copy, ms: performance.now() - start };
    self.postMessage(answer, copy ? [copy.buffer] : []);
  } catch (error) {
    self.postMessage({ failed: String(error?.message ?? error) });
  }
};
