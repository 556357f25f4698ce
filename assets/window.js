// The page's own script. It keeps six promises that Gradio leaves open:
// colors before the first paint, sliders that answer to the keyboard, cards
// that answer while they are drawn anew, focus that stays where it was then,
// the open tab in the address, and forms that survive a refresh.
(() => {
  // The list of listeners never changes, and the page goes through all of it for each of its hundreds of pieces. A plain
  // list it would follow for changes, number by number; frozen, and of a class of its own, it is read as it is.
  const frozen = (value) => {
    if (value && typeof value === "object") Object.values(Object.freeze(value)).forEach(frozen);
  };
  class Listeners extends Array {
    static get [Symbol.species]() { return Array; }
  }
  const listeners = window.gradio_config?.dependencies;
  if (Array.isArray(listeners)) frozen(Object.setPrototypeOf(listeners, Listeners.prototype));

  const KEY = "likeness-studio-scheme";
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    const asked = new URLSearchParams(location.search).get("__theme");
    if (asked === "dark" || asked === "light") return asked;
    try { return localStorage.getItem(KEY) || window.studioScheme; } catch { return window.studioScheme; }
  };
  const apply = () => {
    const scheme = chosen();
    const dark = scheme === "dark" || (scheme !== "light" && media.matches);
    document.documentElement.classList.toggle("dark", dark);
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
    if (document.body) document.body.classList.toggle("dark", dark);
  };
  window.studioChooseScheme = (scheme) => {
    try { localStorage.setItem(KEY, scheme); } catch { /* private window: holds for this page */ }
    window.studioScheme = scheme;
    apply();
  };
  window.studioChosenScheme = chosen;
  media.addEventListener("change", apply);
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    document.documentElement.lang = "en";
    apply();
    // Gradio sets the class from the system once when it mounts; what the person chose wins.
    new MutationObserver(() => {
      const scheme = chosen();
      const dark = scheme === "dark" || (scheme !== "light" && media.matches);
      if (document.body.classList.contains("dark") !== dark) apply();
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  });

  // The open tab stands in the address: a refresh, a bookmark and a link find it again.
  const TAB = /^tab-([a-z]+)-button$/;
  let asked = location.hash.slice(1);
  const button = (name) => (/^[a-z]+$/.test(name) ? document.getElementById(`tab-${name}-button`) : null);
  const openAsked = () => {
    const found = asked && button(asked);
    if (!found) return;
    asked = "";
    if (found.getAttribute("aria-selected") !== "true") found.click();
  };
  new MutationObserver((changes) => {
    if (asked) return;
    for (const { target } of changes) {
      const name = target.getAttribute("aria-selected") === "true" && TAB.exec(target.id)?.[1];
      if (!name || location.hash.slice(1) === name) continue;
      history.replaceState(null, "", `#${name}`);
      window.scrollTo(0, 0);  // at once: a later jump would come between the press and the release of a button
    }
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["aria-selected"], subtree: true });
  window.addEventListener("hashchange", () => { asked = location.hash.slice(1); openAsked(); asked = ""; });

  // What a person did first is asked first: two requests under way at once may be read in either order, and the
  // answer to an older wish would undo the newer one. What one act asks for together is sent together.
  const ask = window.fetch.bind(window), asking = new Set();
  let act = 0;
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, () => { act += 1; }, true);
  window.fetch = (what, how) => {
    if (!String(what?.url ?? what).includes("/queue/join")) return ask(what, how);
    const earlier = [...asking].filter((one) => one.act < act).map((one) => one.over);
    const answer = earlier.length ? Promise.all(earlier).then(() => ask(what, how)) : ask(what, how);
    const one = { act, over: answer.then(() => asking.delete(one), () => asking.delete(one)) };
    asking.add(one);
    return answer;
  };

  // What a form holds stays in this browser's tab until it is closed. Nothing is kept before the draft came back.
  const DRAFT = "likeness-studio-draft-";
  const read = new Set(), ready = new Set();
  window.studioDraft = {
    keep(name, names, values, pressed = {}) {
      if (!ready.has(name)) return;
      const held = Object.fromEntries(names.map((n, i) => [n, values[i] ?? null]));
      for (const [n, place] of Object.entries(pressed)) {
        held[n] = document.querySelector(`${place} [aria-pressed=true]`)?.dataset.id ?? null;
      }
      try { sessionStorage.setItem(DRAFT + name, JSON.stringify(held)); } catch { /* full or forbidden: not kept */ }
    },
    read(name, box) {
      if (read.has(name)) return box;
      read.add(name);
      let held = "";
      try { held = sessionStorage.getItem(DRAFT + name) || ""; } catch { /* forbidden */ }
      if (box || !held) ready.add(name);
      return box || held;
    },
    restored(name, ...held) {
      ready.add(name);
      window.studioDraft.keep(name, ...held);
    },
    forget() {
      Object.keys(sessionStorage).filter((k) => k.startsWith(DRAFT)).forEach((k) => sessionStorage.removeItem(k));
      return [];
    },
  };

  // Lists are drawn anew while jobs run, also between press and release of a button; a click would then be lost, so
  // the release counts when it meets the same key, or when the pointer stayed and the page moved below it. Keyboards
  // and screen readers click without a pointer (detail 0).
  window.studioCards = (list, trigger) => {
    const button = (event) => event.target.closest("[data-act]");
    const tell = (b) => trigger("click", { act: b.dataset.act, id: b.dataset.id || "" });
    list.addEventListener("pointerdown", (down) => {
      const b = down.button === 0 ? button(down) : null;
      if (!b) return;
      const over = (up) => {
        if (up.pointerId !== down.pointerId) return;
        for (const kind of ["pointerup", "pointercancel"]) document.removeEventListener(kind, over, true);
        const same = b.dataset.key && list.contains(up.target) && button(up)?.dataset.key === b.dataset.key;
        const still = Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY) <= 4;
        if (up.type === "pointerup" && (same || still)) tell(b);
      };
      for (const kind of ["pointerup", "pointercancel"]) document.addEventListener(kind, over, true);
    });
    list.addEventListener("click", (event) => { const b = button(event); if (b && event.detail === 0) tell(b); });
  };

  // A file that a press has made goes to the downloads. Each has an address of its own: one that was taken before is
  // what an earlier press left, after a press that failed.
  const taken = new Set();
  window.studioTake = (file) => {
    if (!file?.url || taken.has(file.url)) return;
    taken.add(file.url);
    const link = Object.assign(document.createElement("a"), { href: file.url, download: file.orig_name || "" });
    document.body.append(link);
    link.click();
    link.remove();
  };

  // The timeline of a performance: drags stay here, and are told of when they end; a moment is told of on its way,
  // as often as frames can be drawn. Zoom and scroll outlive the drawing anew.
  const TELL_MS = 90, STEP_SECONDS = 0.04;
  window.studioTimeline = (root, trigger) => {
    let zoom = 1, scrolled = 0, told = 0, mending = null, playing = null, span = null;
    const audio = new Audio();
    const line = () => root.querySelector(".timeline");
    const fit = () => {
      const inner = root.querySelector(".tl-inner"), scroll = root.querySelector(".tl-scroll");
      if (!inner || inner.dataset.fit) return;
      inner.dataset.fit = "1";
      inner.style.width = `${100 * zoom}%`;
      scroll.scrollLeft = scrolled;
      scroll.addEventListener("scroll", () => { scrolled = scroll.scrollLeft; });
      if (mending) mend(mending.index, mending.text);  // drawn anew while somebody writes
    };
    // A word is written over where it stands; Enter tells of it, Escape leaves it as it was.
    const mend = (index, text) => {
      const word = root.querySelector(`[data-word="${index}"]`);
      if (!word) { mending = null; return; }
      const box = Object.assign(document.createElement("input"), { className: "tl-mend", value: text ?? word.textContent });
      box.setAttribute("aria-label", `What is said instead of ${word.textContent}; nothing is silence`);
      box.style.left = word.style.left;
      mending = { index, text: box.value };
      const done = (tell) => {
        if (!mending || !box.isConnected) return;
        mending = null;
        const said = box.value.trim();
        box.remove();
        word.focus({ preventScroll: true });
        if (tell && said !== word.textContent) trigger("release", { act: "word", index, text: said });
      };
      box.addEventListener("input", () => { mending = { index, text: box.value }; });
      box.addEventListener("keydown", (event) => {
        event.stopPropagation();
        if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); done(event.key === "Enter"); }
      });
      box.addEventListener("blur", () => setTimeout(() => { if (box.isConnected) done(false); }));
      word.parentElement.append(box);
      box.focus({ preventScroll: true });
      box.select();
    };
    // Curves are worked out after the timeline stands, and laid into it when they fit to what it shows.
    const layCurves = () => {
      const lane = root.querySelector(".tl-curves"), lines = document.querySelector("#layers-lines .tl-lines");
      const key = lines && Number(lines.dataset.first) === Number(line()?.dataset.first) ? lines.outerHTML : "";
      // what is drawn anew keeps its pieces, but not what was laid into them
      if (!lane || (lane.laid ?? "") === key && Boolean(lane.firstChild) === Boolean(key)) return;
      lane.laid = key;
      lane.innerHTML = key && lines.innerHTML;
    };
    new MutationObserver(() => { fit(); layCurves(); mark(); }).observe(root, {
      childList: true, subtree: true, attributes: true, attributeFilter: ["hidden", "aria-pressed"],
    });
    new MutationObserver(layCurves).observe(document.getElementById("layers-lines"), { childList: true, subtree: true });
    const seconds = (x) => {
      const box = root.querySelector(".tl-inner").getBoundingClientRect(), data = line().dataset;
      const share = Math.min(Math.max((x - box.left) / box.width, 0), 1);
      return Number(data.first) + share * Number(data.seconds);
    };
    const show = (item, at) => {
      const data = line().dataset;
      item.style.left = `${100 * (at - data.first) / data.seconds}%`;
      root.querySelector(".tl-now").textContent = `${at.toFixed(2)} s`;
    };
    // Plays along with the sound, over and over; the frame is drawn as often as frames can be drawn.
    const bounds = () => {
      const data = line().dataset, first = Number(data.first), last = first + Number(data.seconds);
      const from = Math.max(span?.from ?? first, first), to = Math.min(span?.to ?? last, last);
      return to - from > 0.08 ? [from, to] : [first, last];
    };
    const mark = () => {
      const item = root.querySelector(".tl-span"), data = line()?.dataset;
      if (!item) return;
      const [from, to] = bounds(), press = root.querySelector("[data-play=play]"), all = root.querySelector("[data-play=all]");
      const is = String(Boolean(playing)), word = playing ? "Stop" : "Play";
      item.style.left = `${(100 * (from - data.first)) / data.seconds}%`;
      item.style.width = `${(100 * (to - from)) / data.seconds}%`;
      for (const one of [item, all]) if (one.hidden !== !span) one.hidden = !span;
      if (press.textContent !== word) press.textContent = word;
      if (press.getAttribute("aria-pressed") !== is) press.setAttribute("aria-pressed", is);
    };
    const now = () => parseFloat(root.querySelector(".tl-now").textContent);
    // One frame is asked for at a time; what is newest when it comes is asked for next.
    const draw = async (at) => {
      const place = document.querySelector("#layers-playable [data-moments]")?.dataset.moments;
      const picture = document.querySelector("#layers-frame img"), run = playing;
      if (!place || !picture) {  // the first frame is drawn as a moment that is pressed
        if (performance.now() - told < 1000) return;
        told = performance.now();
        trigger("input", { act: "scrub", seconds: at });
        return;
      }
      if (run.asking) return;
      run.asking = true;
      try {
        const answer = await fetch(new URL(`${place}?seconds=${at.toFixed(3)}`, document.baseURI));
        if (!answer.ok || playing !== run) return;
        const old = picture.dataset.drawn ?? "", drawn = URL.createObjectURL(await answer.blob());
        picture.src = picture.dataset.drawn = drawn;
        if (old) URL.revokeObjectURL(old);
      } finally {
        run.asking = false;
      }
    };
    const step = () => {
      const run = playing;
      if (!run) return;
      if (!line() || !root.offsetParent) { playing = null; audio.pause(); return; }  // another tab, or deleted
      const [from, to] = bounds();
      let at = run.heard ? audio.currentTime : run.at + (performance.now() - run.since) / 1000;
      if (at >= to || at < from - 0.05 || (run.heard && audio.ended)) {
        at = from;
        Object.assign(run, { at, since: performance.now() });
        if (run.heard) { audio.currentTime = at; if (audio.paused) audio.play().catch(() => { run.heard = false; }); }
      }
      show(root.querySelector(".tl-head"), at);
      draw(at);
      requestAnimationFrame(step);
    };
    const play = () => {
      if (playing) {
        playing = null;
        audio.pause();
        mark();
        scrub(now());
        return;
      }
      const [from, to] = bounds(), sound = line().dataset.sound, at = now() >= from && now() < to - 0.05 ? now() : from;
      const run = playing = { at, since: performance.now(), heard: Boolean(sound) };
      if (sound) {
        if (audio.getAttribute("src") !== sound) audio.src = sound;
        audio.currentTime = at;
        // where the browser cannot play it, time goes on in silence
        audio.play().catch(() => Object.assign(run, { heard: false, since: performance.now() }));
      }
      mark();
      requestAnimationFrame(step);
    };
    const setSpan = (what) => {
      const [from, to] = bounds(), at = now();
      if (what === "all") span = null;
      else if (what === "from") span = { from: at, to: to > at ? to : undefined };
      else span = { from: from < at ? from : undefined, to: at };
      mark();
    };
    fit();
    layCurves();
    mark();
    const follow = (down, item, moved, ended) => {
      down.preventDefault();
      const over = (event) => {
        if (event.pointerId !== down.pointerId) return;
        const at = seconds(event.clientX);
        if (event.type === "pointermove") { show(item, at); moved?.(at); return; }
        for (const kind of ["pointermove", "pointerup", "pointercancel"]) document.removeEventListener(kind, over, true);
        if (event.type === "pointerup") ended(at);
      };
      for (const kind of ["pointermove", "pointerup", "pointercancel"]) document.addEventListener(kind, over, true);
    };
    const scrub = (at) => trigger("release", { act: "scrub", seconds: at });
    root.addEventListener("dblclick", (event) => {
      // the first press has drawn the timeline anew: what stands there now counts
      const word = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-word]");
      if (word && root.contains(word)) mend(Number(word.dataset.word));
    });
    root.addEventListener("pointerdown", (down) => {
      if (down.button !== 0 || down.target.closest(".tl-mend")) return;
      const edge = down.target.closest(".tl-edge");
      if (edge) {
        edge.focus();
        const from = down.clientX;
        follow(down, edge, null, (at) => {
          if (Math.abs(at - edge.dataset.seconds) > 0.002 && from !== null)
            trigger("release", { act: "boundary", index: Number(edge.dataset.index), seconds: at });
        });
        return;
      }
      if (!down.target.closest(".tl-inner")) return;
      const head = root.querySelector(".tl-head");
      root.querySelector(".tl-wave").focus({ preventScroll: true });
      show(head, seconds(down.clientX));
      follow(down, head, (at) => {
        if (performance.now() - told < TELL_MS) return;
        told = performance.now();
        trigger("input", { act: "scrub", seconds: at });
      }, scrub);
    });
    root.addEventListener("click", (event) => {
      const what = event.target.closest("[data-play]")?.dataset.play;
      if (what) { if (what === "play") play(); else setSpan(what); return; }
      const by = Number(event.target.closest("[data-zoom]")?.dataset.zoom);
      if (!by) return;
      const scroll = root.querySelector(".tl-scroll"), inner = root.querySelector(".tl-inner");
      const middle = (scroll.scrollLeft + scroll.clientWidth / 2) / inner.clientWidth;
      zoom = Math.min(Math.max(zoom * by, 1), 32);
      inner.style.width = `${100 * zoom}%`;
      scroll.scrollLeft = scrolled = middle * inner.clientWidth - scroll.clientWidth / 2;
    });
    root.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1, PageUp: -25, PageDown: 25 }[event.key];
      const word = event.target.closest("[data-word]");
      if (word && (event.key === "Enter" || event.key === "F2")) {
        event.preventDefault();
        mend(Number(word.dataset.word));
        return;
      }
      const edge = event.target.closest(".tl-edge"), wave = event.target.closest(".tl-wave");
      if (wave && (event.key === " " || event.key === "[" || event.key === "]")) {
        event.preventDefault();
        if (event.key === " ") play(); else setSpan(event.key === "[" ? "from" : "to");
        return;
      }
      const data = line()?.dataset;
      if (!data || !(edge || wave)) return;
      const last = Number(data.first) + Number(data.seconds);
      let at = null;
      if (way && edge) at = Number(edge.dataset.seconds) + way * 0.01;
      else if (way) at = parseFloat(root.querySelector(".tl-now").textContent) + way * STEP_SECONDS;
      else if (wave && event.key === "Home") at = 0;
      else if (wave && event.key === "End") at = last;
      if (at === null) return;
      event.preventDefault();
      at = Math.min(Math.max(at, 0), last);
      if (edge) trigger("release", { act: "boundary", index: Number(edge.dataset.index), seconds: at });
      else { show(root.querySelector(".tl-head"), at); scrub(at); }
    });
  };

  // A painting is told of when the hand rests: all of it is sent then.
  const REST_MS = 700;
  window.studioStrokes = (place, trigger) => {
    let resting = 0, painting = false;
    document.addEventListener("pointerdown", (event) => {
      painting = Boolean(event.target.closest?.(place));
      if (painting) clearTimeout(resting);
    }, true);
    document.addEventListener("pointerup", () => {
      if (!painting) return;
      clearTimeout(resting);
      resting = setTimeout(() => trigger("click", {}), REST_MS);
    }, true);
  };

  // Gradio's slider tells of its release only to a pointer.
  const STEPS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"]);
  let pending = 0;
  document.addEventListener("keyup", (event) => {
    const input = event.target;
    if (!(input instanceof HTMLInputElement)) return;
    const range = input.type === "range" && STEPS.has(event.key);
    const number = input.dataset.testid === "number-input" && (event.key === "Enter" || STEPS.has(event.key));
    if (!range && !number) return;
    clearTimeout(pending);
    pending = setTimeout(() => input.dispatchEvent(new PointerEvent("pointerup", { bubbles: true })), 120);
  });

  // Folds inside such lists stay open, too.
  const opened = new Set();
  document.addEventListener("toggle", (event) => {
    const key = event.target.dataset?.key;
    if (key && event.target.isConnected) opened[event.target.open ? "add" : "delete"](key);
  }, true);
  const reopen = () => opened.forEach((key) => {
    document.querySelectorAll(`details[data-key="${CSS.escape(key)}"]:not([open])`).forEach((d) => { d.open = true; });
  });

  // In a long row of cards the chosen one is brought into sight, once for each row that is drawn.
  const rows = document.getElementsByClassName("cards"), looked = new WeakSet();
  const showChosen = () => {
    for (const row of rows) {
      if (looked.has(row)) continue;
      const card = row.querySelector("[aria-pressed=true]");
      if (!card || !card.offsetParent) continue;
      looked.add(row);
      const [outer, inner] = [row.getBoundingClientRect(), card.getBoundingClientRect()];
      if (inner.left < outer.left || inner.right > outer.right) {
        row.scrollLeft += inner.left - outer.left - (outer.width - inner.width) / 2;
      }
    }
  };

  // Cards are drawn anew when their rows change: put the focus back on the same one.
  let last = null;
  document.addEventListener("focusin", (event) => {
    const card = event.target.closest?.("[data-key]");
    last = card ? card.dataset.key : null;
  });
  new MutationObserver(() => {
    if (asked) openAsked();
    if (opened.size) reopen();
    showChosen();
    if (last && document.activeElement === document.body) {
      document.querySelector(`[data-key="${CSS.escape(last)}"]`)?.focus({ preventScroll: true });
    }
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
