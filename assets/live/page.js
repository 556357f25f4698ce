// The fold "Live": a camera or a microphone moves the portrait. The camera's pictures stay in this page: a worker finds
// the points of the face, and those are sent. One picture is asked for at a time; while it is drawn, newer frames take
// the place of older ones, so that nothing ever lags behind. The points of the frames in between are sent along for the
// take that may be kept.
const HEAD_BYTES = 16, POINT_BYTES = 478 * 3 * 4, MOST_FRAMES = 64, SHOWN_EVERY_MS = 500, RECENT = 30;
const HEARD_HZ = 16000, LEAST_SOUND_MS = 40;
const WORDS = {
  asking: "The browser asks whether the studio may use it.",
  opening: "Getting the portrait and the tracker ready…",
  looking: "No face is seen yet: sit in the light, facing the camera.",
  lost: "The face was lost: the portrait holds its look, then rests.",
  several: (n) => `${n} faces are in the picture; the portrait follows one of them. It works best with one.`,
  camera: "The portrait follows your face.",
  microphone: "The portrait speaks as you do. What is said is understood only when you keep it.",
  rest: "This is now your face at rest.",
  full: "Five minutes are kept, and no more: stop and keep them, or go on without.",
  stopped: "Stopped; nothing was kept.",
  kept: "The take is a performance now; it stands in “Performance” below.",
  refused: {
    NotAllowedError: (what) => `The browser was not allowed to use the ${what}. Allow it beside the address, then try again.`,
    NotFoundError: (what) => `This computer has no ${what}, or it is switched off.`,
    NotReadableError: (what) => `The ${what} is busy: another program uses it.`,
    insecure: (what) => `A browser gives its ${what} only to this computer or to an https address. Open the studio as 127.0.0.1.`,
    other: (what) => `The ${what} could not be started.`,
  },
};
const states = new WeakMap();

// Called for each press of a button in the fold.
export function act(root, trigger, what) {
  if (!states.has(root)) states.set(root, new Show(root, trigger));
  const show = states.get(root);
  if (what === "camera" || what === "microphone") show.start(what);
  else if (what === "rest") show.resting = true;
  else show.stop(what === "keep");
}

class Show {
  constructor(root, trigger) {
    this.root = root;
    this.trigger = trigger;
    this.canvas = root.querySelector("canvas");
    this.pen = this.canvas.getContext("2d");
    this.video = root.querySelector("video");
    this.run = null;
    const session = document.getElementById("animate-live-session");
    new MutationObserver(() => this.answered(session)).observe(session, { childList: true, subtree: true, attributes: true });
  }

  say(words, tone = "") {
    const line = this.root.querySelector(".live-says");
    if (line.textContent !== words) line.textContent = words;
    line.dataset.tone = tone;
  }

  mark(state, by = "") { this.root.querySelector(".live").dataset.state = state; this.root.querySelector(".live").dataset.by = by; }

  async start(by) {
    if (this.run) return;
    const run = this.run = { by, pending: [], sounds: [], waiting: false, drawn: [], behind: [], seen: [], shownAt: 0, faces: 0 };
    this.mark("opening", by);
    this.say(WORDS.asking);
    const what = by === "camera" ? "camera" : "microphone";
    try {
      if (!navigator.mediaDevices?.getUserMedia) throw Object.assign(new Error(), { name: "insecure" });
      run.stream = await navigator.mediaDevices.getUserMedia(by === "camera"
        ? { video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" } }
        : { audio: { channelCount: 1, echoCancellation: false, noiseSuppression: true, autoGainControl: true } });
    } catch (error) {
      this.finish((WORDS.refused[error.name] ?? WORDS.refused.other)(what), "bad");
      return;
    }
    if (this.run !== run) { run.stream.getTracks().forEach((t) => t.stop()); return; }
    run.stream.getTracks()[0].addEventListener("ended", () => {
      if (this.run === run) this.say(WORDS.refused.NotReadableError(what), "bad");
    });
    this.say(WORDS.opening);
    this.trigger("click", { act: "open", by });
    try {
      await (by === "camera" ? this.openCamera(run) : this.openMicrophone(run));
    } catch (error) {
      this.trigger("click", { act: "close", token: run.token ?? "" });
      if (this.run === run) this.finish(`The browser could not start it: ${error.message}`, "bad");
    }
  }

  // What the studio answered: a session, or that there is none.
  answered(place) {
    const said = place.querySelector("[data-live]"), run = this.run;
    const news = said && `${said.dataset.live} ${said.dataset.token}`;  // the piece itself may be the one of before
    if (!said || news === this.news) return;
    this.news = news;
    if (said.dataset.live === "kept") { if (!run) this.say(WORDS.kept, "good"); return; }
    if (!run || run.token) return;
    if (said.dataset.live === "failed") { this.finish("The portrait could not be opened.", "bad"); return; }
    run.token = said.dataset.token;
    this.canvas.width = Number(said.dataset.width);
    this.canvas.height = Number(said.dataset.height);
    this.mark("running", run.by);
    this.root.querySelector(".live").scrollIntoView({ block: "center", behavior: "smooth" });
    this.say(run.by === "camera" ? WORDS.looking : WORDS.microphone);
    this.ask(run);
  }

  async openCamera(run) {
    this.video.srcObject = run.stream;
    await this.video.play();
    run.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    await new Promise((ready, failed) => {
      run.worker.onmessage = ({ data }) => (data.ready ? ready() : failed(new Error(data.failed)));
      run.worker.onerror = (event) => failed(new Error(event.message || "its script did not load"));
      run.worker.postMessage({ open: true });
    });
    if (this.run !== run) return;
    run.worker.onmessage = ({ data }) => { if (this.run === run) this.tracked(run, data); };
    this.nextFrame(run);
  }

  // Notes each picture of the camera, and looks at the newest one whenever the worker is free.
  nextFrame(run) {
    this.video.requestVideoFrameCallback((now, frame) => {
      if (this.run !== run) return;
      run.fresh = frame.captureTime ?? now;
      this.look(run);
      this.nextFrame(run);
    });
  }

  async look(run) {
    if (run.looking || !run.fresh) return;
    const at = run.fresh;
    run.looking = true;
    run.fresh = 0;
    const bitmap = await createImageBitmap(this.video);
    if (this.run === run) run.worker.postMessage({ bitmap, at }, [bitmap]);
  }

  tracked(run, found) {
    if (found.failed) { this.finish(`The face could not be followed: ${found.failed}`, "bad"); return; }
    run.seen.push(performance.now());
    run.pending.push({ at: found.at, points: found.points, rests: this.resting && found.found });
    if (this.resting && found.found) { this.resting = false; run.restedAt = performance.now(); }
    if (run.pending.length > MOST_FRAMES) run.pending.shift();
    run.faces = found.faces;
    run.found = found.found;
    run.everFound ||= found.found;
    run.looking = false;
    this.look(run);
    this.ask(run);
  }

  async openMicrophone(run) {
    run.audio = new AudioContext({ sampleRate: HEARD_HZ });
    await run.audio.audioWorklet.addModule(new URL("./listener.js", import.meta.url));
    const node = new AudioWorkletNode(run.audio, "studio-listener", { numberOfOutputs: 0 });
    run.audio.createMediaStreamSource(run.stream).connect(node);
    node.port.onmessage = ({ data }) => {
      if (this.run !== run || !run.token) return;
      run.sounds.push(...data);
      run.heardAt = performance.now();
      this.ask(run);
    };
    await run.audio.resume();
  }

  body(run) {
    if (run.by === "microphone") {
      const count = run.sounds.reduce((sum, piece) => sum + piece.length, 0);
      if (count < (HEARD_HZ * LEAST_SOUND_MS) / 1000) return null;
      const out = new Int16Array(count);
      let to = 0;
      for (const piece of run.sounds) for (const v of piece) out[to++] = Math.max(-1, Math.min(1, v)) * 32767;
      run.sounds = [];
      return { bytes: out.buffer, at: run.heardAt };
    }
    if (!run.pending.length) return null;
    const frames = run.pending.splice(0);
    const size = frames.reduce((sum, f) => sum + HEAD_BYTES + (f.points ? POINT_BYTES : 0), 0);
    const bytes = new ArrayBuffer(size), view = new DataView(bytes);
    let to = 0;
    for (const { at, points, rests } of frames) {
      view.setFloat64(to, at / 1000, true);
      view.setUint8(to + 8, points ? 1 : 0);
      view.setUint8(to + 9, rests ? 1 : 0);
      to += HEAD_BYTES;
      if (points) { new Uint8Array(bytes, to, POINT_BYTES).set(new Uint8Array(points.buffer)); to += POINT_BYTES; }
    }
    return { bytes, at: frames.at(-1).at };
  }

  // Asks for the picture of now, if none is being drawn.
  async ask(run) {
    if (run.waiting || !run.token || this.run !== run) return;
    const sent = this.body(run);
    if (!sent) return;
    run.waiting = true;
    try {
      const path = `live/${run.token}/${run.by === "camera" ? "see" : "hear"}`;
      const answer = await fetch(new URL(path, document.baseURI), { method: "POST", body: sent.bytes });
      if (this.run !== run) return;
      if (!answer.ok) {
        const said = await answer.json().catch(() => ({ message: "The studio does not answer.", hint: "" }));
        if (answer.status !== 409) { this.finish(`${said.message} ${said.hint}`.trim(), "bad"); return; }
      } else {
        const figures = JSON.parse(answer.headers.get("x-live"));
        const picture = await createImageBitmap(await answer.blob());
        if (this.run !== run) return;
        this.pen.drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
        picture.close();
        this.count(run, sent.at, figures);
      }
    } catch (error) {
      if (this.run === run) this.finish(`The studio does not answer: ${error.message}`, "bad");
      return;
    } finally {
      run.waiting = false;
    }
    this.ask(run);
  }

  // Says how many pictures a second there are, and how far they are behind.
  count(run, at, figures) {
    const now = performance.now();
    run.drawn.push(now);
    run.behind.push(now - at);
    for (const list of [run.drawn, run.behind, run.seen]) if (list.length > RECENT) list.shift();
    run.pictures = (run.pictures ?? 0) + 1;
    if (now - run.shownAt < SHOWN_EVERY_MS) return;
    run.shownAt = now;
    const rate = (times) => (times.length > 1 ? (1000 * (times.length - 1)) / (times.at(-1) - times[0]) : 0);
    const late = [...run.behind].sort((a, b) => a - b)[run.behind.length >> 1];
    const line = this.root.querySelector(".live-figures");
    line.textContent = `${rate(run.drawn).toFixed(0)} pictures a second, ${late.toFixed(0)} ms behind · ${figures.kept_seconds.toFixed(0)} s`;
    Object.assign(line.dataset, {
      rate: rate(run.drawn).toFixed(2), behind: late.toFixed(1), tracked: rate(run.seen).toFixed(2),
      drawn: figures.drawn_ms, solved: figures.solved_ms, pictures: run.pictures, kept: figures.kept_seconds,
    });
    if (figures.is_full) this.say(WORDS.full);
    else if (run.by === "microphone") this.say(WORDS.microphone);
    else if (!run.everFound) this.say(WORDS.looking);
    else if (!run.found) this.say(WORDS.lost);
    else if (run.restedAt && now - run.restedAt < 3000) this.say(WORDS.rest, "good");
    else this.say(run.faces > 1 ? WORDS.several(run.faces) : WORDS.camera);
  }

  stop(keep) {
    const run = this.run;
    if (!run) return;
    if (run.token) this.trigger("click", { act: keep ? "keep" : "close", token: run.token });
    this.finish(keep ? "" : WORDS.stopped);
  }

  finish(words, tone = "") {
    const run = this.run;
    this.run = null;
    this.resting = false;
    this.mark("idle");
    this.say(words, tone);
    run?.stream?.getTracks().forEach((track) => track.stop());
    run?.worker?.terminate();
    run?.audio?.close();
    this.video.srcObject = null;
  }
}
