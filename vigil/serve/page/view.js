/** Shows a story. Everything that was said goes in as text, never as markup. */

const KEPT_ENTRIES = 300;
const LIVE_WINDOW_S = 90;
const STATUS = { interrupted: "interrupted", error: "broken off by a fault" };

export const byId = (id) => document.getElementById(id);

/** An element with a class, and text or children. */
export function make(tag, name = "", ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children);
  return node;
}

/** Seconds as m:ss, or h:mm:ss. */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const tail = String(s % 60).padStart(2, "0");
  const minutes = Math.floor(s / 60);
  return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}

/** A short time in words. */
export function delay(ms) { return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`; }

/** The list of questions and answers. `pictures` gives the picture of a frame, `timeOf` the video time to show. */
export class Feed {
  #list = byId("feed"); #said = byId("said"); #nodes = new Map(); #announced = new Set(); #pictures; #timeOf;

  constructor(pictures, timeOf) {
    this.#pictures = pictures;
    this.#timeOf = timeOf;
    this.#list.replaceChildren();
    this.#said.textContent = "";
  }

  /** Show an entry, or what has changed of it. */
  show(entry) {
    const isAtEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 80;
    let node = this.#nodes.get(entry.key);
    if (!node) {
      node = make("li", entry.kind);
      node.id = entry.key;
      this.#nodes.set(entry.key, node);
      this.#list.append(node);
      this.#trim();
    }
    const draw = { question: this.#question, answer: this.#answer, note: this.#note }[entry.kind];
    node.replaceChildren(...draw.call(this, entry, node));
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** Bring an entry into view. */
  point(key) {
    const node = this.#nodes.get(key);
    node?.scrollIntoView({ block: "nearest", behavior: "smooth" });
    node?.animate?.([{ backgroundColor: "var(--glow)" }, {}], 1200);
  }

  #trim() {
    while (this.#nodes.size > KEPT_ENTRIES) {
      const [key, node] = this.#nodes.entries().next().value;
      node.remove();
      this.#nodes.delete(key);
    }
  }

  #time(t) { return make("time", "", clock(this.#timeOf(t))); }

  #question(entry, node) {
    const state = entry.state === "unanswered" ? "no answer could be given" : entry.isDirect ? "" : "watching for this";
    node.dataset.state = entry.state;
    const parts = [this.#time(entry.t), make("span", "hidden", "You asked: "), make("p", "", entry.text)];
    return state ? [...parts, make("small", "", state)] : parts;
  }

  #note(entry) { return [this.#time(entry.t), make("p", "", entry.text)]; }

  #answer(entry) {
    const shown = entry.revisions.filter((one, index) => one.text.trim() || index === entry.revisions.length - 1);
    return shown.map((one) => this.#revision(entry, one, one !== entry.revisions.at(-1) || one.status === "superseded"));
  }

  #revision(entry, one, isOld) {
    const row = make("div", isOld ? "revision old" : "revision");
    const words = make(isOld ? "del" : one.rev > 1 ? "ins" : "span", "words", one.text.trim() || "…");
    const text = make("p", "", ...(isOld ? [make("span", "hidden", "Replaced: ")] : []), words);
    if (!one.status) text.append(make("span", "caret"));
    row.append(this.#time(one.t), this.#thumb(one.evidence), make("div", "said", text, this.#evidence(one)));
    if (one.status && !isOld) this.#announce(entry, one);
    return row;
  }

  #thumb(evidence) {
    const frame = evidence ? this.#pictures.get(evidence.frame_no) : undefined;
    if (!frame) return make("span", "thumb");
    frame.isUsed = true;
    const image = make("img", "thumb");
    image.src = frame.url;
    image.alt = `Frame ${evidence.frame_no}, the newest that this answer had seen`;
    return image;
  }

  #evidence({ evidence, status }) {
    const parts = [];
    if (evidence) parts.push(`saw frame ${evidence.frame_no}`, `${delay(evidence.lag_ms)} old`);
    if (STATUS[status]) parts.push(STATUS[status]);
    return make("small", "", parts.join(" · "));
  }

  /** Tell a screen reader each answer once, when it is whole. */
  #announce(entry, one) {
    const key = `${entry.key} ${one.rev}`;
    if (this.#announced.has(key)) return;
    this.#announced.add(key);
    this.#said.textContent = (one.rev > 1 ? "Corrected: " : "") + one.text.trim();
  }
}

/** The line under the video: silence, answers where they were said, with the frame that each one had seen. */
export class Strip {
  #track = byId("track"); #pins = byId("pins"); #onPick;

  constructor(onPick) { this.#onPick = onPick; }

  /** `mediaAt` goes from session to video time; `duration_s` is infinite for a live source. */
  draw(story, pictures, { now_s, duration_s, mediaAt }) {
    const to = Number.isFinite(duration_s) ? duration_s : Math.max(now_s, LIVE_WINDOW_S);
    const from = Number.isFinite(duration_s) ? 0 : to - LIVE_WINDOW_S;
    const at = (t) => (100 * (mediaAt(t) - from)) / (to - from);
    const marks = [span("gone", 0, (100 * (now_s - from)) / (to - from))];
    for (const { first_ts, last_ts } of story.silences.slice(-200)) marks.push(span("silence", at(first_ts), at(last_ts)));
    this.#track.replaceChildren(...marks.filter(Boolean));
    const said = story.entries.slice(-60).filter((entry) => entry.kind === "answer");
    const pins = said.flatMap((entry) => entry.revisions.map((one) => this.#pin(entry, one, at(one.t), pictures)));
    this.#pins.replaceChildren(...pins.filter(Boolean));
    byId("from").textContent = clock(from);
    byId("to").textContent = clock(to);
  }

  #pin(entry, one, left, pictures) {
    if (left < 0 || left > 100 || !one.text.trim()) return null;
    const pin = make("span", one === entry.revisions.at(-1) ? "pin" : "pin old");
    pin.style.left = `${left}%`;
    const frame = one.evidence ? pictures.get(one.evidence.frame_no) : undefined;
    if (frame) pin.append(Object.assign(make("img"), { src: frame.url, alt: "" }));
    pin.title = one.text.trim();
    pin.onclick = () => this.#onPick(entry.key);
    return pin;
  }
}

function span(name, left, right) {
  const [a, b] = [Math.max(0, left), Math.min(100, right)];
  if (b <= a) return null;
  const node = make("span", name);
  node.style.left = `${a}%`;
  node.style.width = `${b - a}%`;
  return node;
}
