// Where the points of one face are, picture by picture: the studio's own tracker (studio/engines/vision and
// studio/engines/tracking/following.py) in the browser, with the same two models, so that no picture leaves the page.
// A frame is looked at once, through the window of the points of the frame before; the detector is asked only at the
// beginning, while the face is lost, and now and then whether there is a second face.
//
// Convention: pixel (0, 0) has its center at (0.5, 0.5). Points are x right, y down, z away, in pixels of the picture.

export const POINTS = 478, MESH = 468;
const SIDE = 192, DETECTOR_SIDE = 128, WINDOW_SCALE = 1.5;
const RIGHT_OUTER = 33, LEFT_OUTER = 263;
const LOWEST_SCORE = 0.5, JUMP = 0.6, RESIZED = 1.35;
const PERSON_SCORE = 0.9, PERSON_DRIFT = 0.03;
const SEARCH_EVERY = 5, EAGER_SEARCHES = 5, COUNT_EVERY = 40;
const MIN_SCORE = 0.5, OVERLAP = 0.3, SAME_FACE = 0.45;

// Order of the points in the refined outputs: the `subset_idxs` of the model's own operators, as in landmarks.py.
const LIPS = [
  61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
  78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
  76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
  62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
];
const RIGHT_EYE = [
  33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 130, 25, 110, 24,
  23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190, 226, 31, 228, 229, 230, 231, 232, 233,
  244, 113, 225, 224, 223, 222, 221, 189, 35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120,
  121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
];
const LEFT_EYE = [
  263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, 359, 255, 339, 254,
  253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414, 446, 261, 448, 449, 450, 451, 452, 453,
  464, 342, 445, 444, 443, 442, 441, 413, 265, 353, 276, 283, 282, 295, 372, 340, 346, 347, 348, 349,
  350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417,
];
const LID_POINTS = 16, IRIS_POINTS = 5;
const REFINED = { output_lips: LIPS, output_left_eye: RIGHT_EYE, output_right_eye: LEFT_EYE };
const IRISES = [["output_left_iris", RIGHT_EYE], ["output_right_iris", LEFT_EYE]];

const sigmoid = (x) => 1 / (1 + Math.exp(-Math.min(Math.max(x, -80), 80)));
const eyeDistance = (p) => Math.hypot(
  p[3 * LEFT_OUTER] - p[3 * RIGHT_OUTER], p[3 * LEFT_OUTER + 1] - p[3 * RIGHT_OUTER + 1]);

// The upright square around points that the landmark model wants to see.
export function windowOf(p) {
  const angle = Math.atan2(
    p[3 * LEFT_OUTER + 1] - p[3 * RIGHT_OUTER + 1], p[3 * LEFT_OUTER] - p[3 * RIGHT_OUTER]);
  const cos = Math.cos(angle), sin = Math.sin(angle);
  let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity;
  for (let i = 0; i < MESH; i++) {
    const x = p[3 * i] * cos + p[3 * i + 1] * sin, y = p[3 * i + 1] * cos - p[3 * i] * sin;
    x0 = Math.min(x0, x); x1 = Math.max(x1, x); y0 = Math.min(y0, y); y1 = Math.max(y1, y);
  }
  const x = (x0 + x1) / 2, y = (y0 + y1) / 2;
  return { x: cos * x - sin * y, y: sin * x + cos * y, side: Math.max(x1 - x0, y1 - y0, 1) * WINDOW_SCALE, angle };
}

// Samples a window at size x size; the picture's edge is repeated outside. Where the window is coarser than the
// picture, several places are averaged, so that nothing aliases.
function cut(picture, w, size, out) {
  const { data, width, height } = picture;
  const step = w.side / size, cos = Math.cos(w.angle) * step, sin = Math.sin(w.angle) * step;
  const fine = step > 1.5 ? Math.min(Math.ceil(step), 4) : 1, share = 1 / (255 * fine * fine);
  const half = size / 2;
  let at = 0;
  for (let j = 0; j < size; j++) for (let i = 0; i < size; i++) {
    let r = 0, g = 0, b = 0;
    for (let s = 0; s < fine; s++) for (let t = 0; t < fine; t++) {
      const u = i + (t + 0.5) / fine - half, v = j + (s + 0.5) / fine - half;
      const x = Math.min(Math.max(w.x + cos * u - sin * v - 0.5, 0), width - 1);
      const y = Math.min(Math.max(w.y + sin * u + cos * v - 0.5, 0), height - 1);
      const x0 = x | 0, y0 = y | 0, fx = x - x0, fy = y - y0;
      const a = 4 * (y0 * width + x0), right = x0 + 1 < width ? 4 : 0, down = y0 + 1 < height ? 4 * width : 0;
      const k00 = (1 - fx) * (1 - fy), k01 = fx * (1 - fy), k10 = (1 - fx) * fy, k11 = fx * fy;
      const q = a + right, d = a + down, e = d + right;
      r += k00 * data[a] + k01 * data[q] + k10 * data[d] + k11 * data[e];
      g += k00 * data[a + 1] + k01 * data[q + 1] + k10 * data[d + 1] + k11 * data[e + 1];
      b += k00 * data[a + 2] + k01 * data[q + 2] + k10 * data[d + 2] + k11 * data[e + 2];
    }
    out[at++] = r * share; out[at++] = g * share; out[at++] = b * share;
  }
}

// The whole picture in the detector's square, each pixel the mean of what it stands for, black around.
function shrunk(picture, size) {
  const { data, width, height } = picture;
  const scale = size / Math.max(width, height);
  const w = Math.max(Math.round(width * scale), 1), h = Math.max(Math.round(height * scale), 1);
  const left = (size - w) >> 1, top = (size - h) >> 1;
  const out = new Float32Array(3 * size * size).fill(-1);
  for (let j = 0; j < h; j++) {
    const y0 = Math.floor((j * height) / h), y1 = Math.max(Math.ceil(((j + 1) * height) / h), y0 + 1);
    for (let i = 0; i < w; i++) {
      const x0 = Math.floor((i * width) / w), x1 = Math.max(Math.ceil(((i + 1) * width) / w), x0 + 1);
      let r = 0, g = 0, b = 0;
      for (let y = y0; y < y1; y++) for (let x = x0, a = 4 * (y * width + x0); x < x1; x++, a += 4) {
        r += data[a]; g += data[a + 1]; b += data[a + 2];
      }
      const share = 1 / (127.5 * (y1 - y0) * (x1 - x0)), to = 3 * ((top + j) * size + left + i);
      out[to] = r * share - 1; out[to + 1] = g * share - 1; out[to + 2] = b * share - 1;
    }
  }
  return { out, left, top, w, h };
}

// Centers of the short-range detector's anchors, 0..1: two per cell of 8 pixels, six per cell of 16.
const ANCHORS = [[8, 2], [16, 6]].flatMap(([stride, repeats]) => {
  const cells = DETECTOR_SIDE / stride, found = [];
  for (let y = 0; y < cells; y++) for (let x = 0; x < cells; x++)
    for (let n = 0; n < repeats; n++) found.push([(x + 0.5) / cells, (y + 0.5) / cells]);
  return found;
});

const overlap = (a, b) => {  // boxes as x0, y0, x1, y1
  const shared = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0)
    * Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  const area = (c) => Math.max(c[2] - c[0], 0) * Math.max(c[3] - c[1], 0);
  return shared / Math.max(area(a) + area(b) - shared, 1e-9);
};

export class Tracker {
  constructor(ort, detector, landmarks) {
    this.ort = ort; this.detector = detector; this.landmarks = landmarks;
    this.crop = new Float32Array(3 * SIDE * SIDE);
    this.points = null; this.lost = 0; this.faces = 0; this.since = 0;
  }

  // Opens both models.
  static async open(ort, detector, landmarks) {
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
    return new Tracker(ort, await ort.InferenceSession.create(detector, options),
      await ort.InferenceSession.create(landmarks, options));
  }

  // Looks once through a window.
  async look(picture, w) {
    cut(picture, w, SIDE, this.crop);
    const input = new this.ort.Tensor("float32", this.crop, [1, SIDE, SIDE, 3]);
    const found = await this.landmarks.run({ input });
    const mesh = found.output_mesh_identity.data, points = new Float32Array(3 * POINTS);
    points.set(mesh.subarray(0, 3 * MESH));
    for (const [name, order] of Object.entries(REFINED)) {
      const refined = found[name].data;
      order.forEach((p, i) => { points[3 * p] = refined[2 * i]; points[3 * p + 1] = refined[2 * i + 1]; });
    }
    IRISES.forEach(([name, eye], side) => {
      const iris = found[name].data;
      const depth = eye.slice(0, LID_POINTS).reduce((sum, p) => sum + points[3 * p + 2], 0) / LID_POINTS;
      for (let i = 0; i < IRIS_POINTS; i++) points.set(
        [iris[2 * i], iris[2 * i + 1], depth], 3 * (MESH + side * IRIS_POINTS + i));
    });
    const step = w.side / SIDE, cos = Math.cos(w.angle) * step, sin = Math.sin(w.angle) * step, half = SIDE / 2;
    for (let i = 0; i < POINTS; i++) {
      const u = points[3 * i] - half, v = points[3 * i + 1] - half;
      points[3 * i] = w.x + cos * u - sin * v;
      points[3 * i + 1] = w.y + sin * u + cos * v;
      points[3 * i + 2] *= step;
    }
    return { points, score: sigmoid(found.conv_faceflag.data[0]) };
  }

  // Every face that is easily found, the largest first.
  async detect(picture) {
    const { out, left, top, w, h } = shrunk(picture, DETECTOR_SIDE);
    const input = new this.ort.Tensor("float32", out, [1, DETECTOR_SIDE, DETECTOR_SIDE, 3]);
    const { regressors, classificators } = await this.detector.run({ input });
    const candidates = [];
    for (let i = 0; i < ANCHORS.length; i++) {
      const score = sigmoid(classificators.data[i]);
      if (score < MIN_SCORE) continue;
      const raw = Array.from(regressors.data.subarray(16 * i, 16 * i + 16), (v) => v / DETECTOR_SIDE);
      for (let k = 0; k < 16; k += 2) if (k !== 2) { raw[k] += ANCHORS[i][0]; raw[k + 1] += ANCHORS[i][1]; }
      candidates.push({ score, raw });
    }
    candidates.sort((a, b) => b.score - a.score);
    const boxOf = ({ raw }) => [
      raw[0] - raw[2] / 2, raw[1] - raw[3] / 2, raw[0] + raw[2] / 2, raw[1] + raw[3] / 2];
    const faces = [];
    for (let left_over = candidates; left_over.length;) {
      const first = boxOf(left_over[0]);
      const near = (c) => c === left_over[0] || overlap(first, boxOf(c)) > OVERLAP;
      const group = left_over.filter(near), sum = group.reduce((s, c) => s + c.score, 0);
      left_over = left_over.filter((c) => !near(c));
      const mean = group[0].raw.map((_, k) => group.reduce((s, c) => s + c.score * c.raw[k], 0) / sum);
      const x = (v) => ((v * DETECTOR_SIDE - left) * picture.width) / w;
      const y = (v) => ((v * DETECTOR_SIDE - top) * picture.height) / h;
      const angle = Math.atan2(y(mean[7]) - y(mean[5]), x(mean[6]) - x(mean[4]));
      const side = Math.max((mean[2] * DETECTOR_SIDE * picture.width) / w, (mean[3] * DETECTOR_SIDE * picture.height) / h);
      const face = await this.confirmed(picture, { x: x(mean[0]), y: y(mean[1]), side: side * WINDOW_SCALE, angle });
      if (face && !faces.some((other) => overlap(other.box, face.box) > SAME_FACE)) faces.push(face);
    }
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    return faces.sort((a, b) => area(b) - area(a));
  }

  // Looks three times; what resembles a face moves between looks, a face does not.
  async confirmed(picture, w) {
    let seen = await this.look(picture, w), drift = Infinity;
    for (let i = 0; i < 2; i++) {
      const before = seen;
      seen = await this.look(picture, windowOf(seen.points));
      let moved = 0;
      for (let k = 0; k < MESH; k++) moved += Math.hypot(
        seen.points[3 * k] - before.points[3 * k], seen.points[3 * k + 1] - before.points[3 * k + 1]);
      drift = moved / MESH / Math.max(eyeDistance(seen.points), 1e-6);
    }
    if (seen.score < PERSON_SCORE || drift > PERSON_DRIFT) return null;
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (let k = 0; k < MESH; k++) {
      box[0] = Math.min(box[0], seen.points[3 * k]); box[2] = Math.max(box[2], seen.points[3 * k]);
      box[1] = Math.min(box[1], seen.points[3 * k + 1]); box[3] = Math.max(box[3], seen.points[3 * k + 1]);
    }
    return { points: seen.points, box };
  }

  // The next picture: where the face is, or was seen last; `faces` is how many the last search saw.
  async next(picture) {
    let found = false;
    if (this.points && this.lost === 0) found = await this.follow(picture);
    if (!found) found = await this.search(picture);
    else if (++this.since >= COUNT_EVERY) {
      this.since = 0;
      this.faces = (await this.detect(picture)).length || 1;
    }
    this.lost = found ? 0 : this.lost + 1;
    return { points: this.points, found, faces: this.faces };
  }

  async follow(picture) {
    const seen = await this.look(picture, windowOf(this.points));
    const size = eyeDistance(this.points), grown = eyeDistance(seen.points) / Math.max(size, 1e-6);
    const [x0, y0] = middle(this.points), [x1, y1] = middle(seen.points);
    const moved = Math.hypot(x1 - x0, y1 - y0);
    if (seen.score < LOWEST_SCORE || moved > JUMP * size || grown < 1 / RESIZED || grown > RESIZED) return false;
    this.points = seen.points;
    return true;
  }

  // Asks the detector; seldom once the face has been gone for a while.
  async search(picture) {
    if (this.lost >= EAGER_SEARCHES && this.lost % SEARCH_EVERY) return false;
    const faces = await this.detect(picture);
    this.faces = faces.length; this.since = 0;
    if (!faces.length) return false;
    if (!this.points) { this.points = faces[0].points; return true; }
    const size = eyeDistance(this.points), [x0, y0] = middle(this.points);
    const unlike = ({ points }) => {
      const [x, y] = middle(points);
      return Math.hypot(x - x0, y - y0) / size + Math.abs(Math.log(eyeDistance(points) / size));
    };
    this.points = faces.reduce((best, face) => (unlike(face) < unlike(best) ? face : best)).points;
    return true;
  }
}

function middle(p) {
  let x = 0, y = 0;
  for (let i = 0; i < MESH; i++) { x += p[3 * i]; y += p[3 * i + 1]; }
  return [x / MESH, y / MESH];
}
