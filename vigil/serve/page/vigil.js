/**
 * A client of `vigil serve`: one session, over a socket that comes back by itself.
 *
 *   const vigil = new Vigil({ token, open: { sources: [{ source: 0, kind: "push" }] } });
 *   vigil.addEventListener("event", ({ detail }) => console.log(detail.type, detail.text));
 *   await vigil.frame(0, jpegBlob);
 *   await vigil.command("input.text", { text: "What is on the table?", mode: "interrupt", answer_by_s: 10 });
 *
 * Dispatches "event" (durable: each one once, in order), "message" (transient), "state" (connecting, open, waiting, closed).
 */
const FIRST_WAIT_MS = 500, LAST_WAIT_MS = 30_000, DEAD_MS = 10_000, FULL_BUFFER_BYTES = 1 << 20;
const FINAL = new Set([1000, 4000, 4401, 4404, 4410]); // close codes after which coming back is of no use
const UNREADABLE = new Set(["bad_json", "bad_message", "unknown_type"]); // errors that name no command

function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Vigil extends EventTarget {
  seq = 0; // number of the newest event
  session = null; // the newest session.ready
  isOpen = false;
  #open; #token; #url; #socket = null; #timer = 0; #watch = 0; #tries = 0; #readyAt = 0; #isOver = false;
  #commands = []; // until command.done; only the first is on its way, so that a refused one leaves no hole
  #cmd = 0; // number of the newest one that was done
  #sources = new Map();

  constructor({ token, url = location.origin, open = {} }) {
    super();
    this.#token = token;
    this.#url = url;
    this.#open = { type: "session.open", client_id: randomId(), open_id: randomId(), ...open };
    this.#connect();
  }

  /** Seconds since the session began, on the server's clock. */
  get now() { return this.session ? this.session.t_mono + (performance.now() - this.#readyAt) / 1000 : 0; }

  /** Have something done exactly once, whatever happens to the connection; resolves to its command.done. */
  command(type, fields = {}) {
    return new Promise((resolve, reject) => {
      if (this.#commands.push({ type, fields, resolve, reject }) === 1) this.#next();
    });
  }

  /** Send an encoded image as soon as there is credit; resolves to its number, or null if a newer one took its place. */
  frame(source, image, ts = this.now) {
    const state = this.#source(source);
    this.#leaveOut(state);
    return new Promise((resolve) => { state.held = { image, ts, resolve }; this.#flush(source); });
  }

  /** End the session. Without a connection only this side ends; the server gives the seat up a minute later. */
  close(mode = "now") {
    if (this.isOpen) this.command("session.close", { mode }).catch(() => {});
    else this.#lost(1000);
  }

  /** Try at once, for example when the network has come back. */
  retry() { if (this.#timer) this.#connect(); }

  async #connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#tell("state", { state: "connecting" });
    const headers = { authorization: `Bearer ${this.#token}` };
    const reply = await fetch(`${this.#url}/v1/ticket`, { method: "POST", headers }).catch(() => null);
    if (this.#isOver) return;
    if (!reply?.ok) return this.#lost(reply?.status === 401 ? 4401 : 1006);
    const { ticket } = await reply.json();
    const socket = new WebSocket(`${this.#url.replace(/^http/, "ws")}/v1/stream`, ["vigil.v1", `vigil.ticket.${ticket}`]);
    socket.onopen = () => socket.send(JSON.stringify(this.#greeting()));
    socket.onmessage = ({ data }) => socket === this.#socket && this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
    this.#socket = socket;
    this.#listen();
  }

  #greeting() {
    if (!this.session) return this.#open;
    const { session_id, resume_token } = this.session;
    return { type: "session.resume", session_id, resume_token, client_id: this.#open.client_id, after: this.seq };
  }

  #lost(code) {
    const socket = this.#socket;
    this.#socket = null; // what it still says is not heard
    this.isOpen = false;
    clearTimeout(this.#watch);
    socket?.close();
    if (FINAL.has(code)) {
      this.#isOver = true;
      clearTimeout(this.#timer);
      for (const { reject } of this.#commands.splice(0)) reject(new Error("closed"));
      this.#tell("state", { state: "closed", code });
      return;
    }
    const wait_ms = Math.random() * Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#tries++);
    this.#timer = setTimeout(() => this.#connect(), wait_ms);
    this.#tell("state", { state: "waiting", code, wait_ms });
  }

  /** The server says something each second; a connection that says nothing for long is dead. */
  #listen() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(1006), DEAD_MS);
  }

  #hear(message) {
    this.#listen();
    if ("seq" in message && message.type !== "command.done") {
      if (message.seq <= this.seq) return;
      if (message.seq > this.seq + 1) return this.#lost(1006); // never a hole: ask for it again
      this.seq = message.seq;
      return this.#tell("event", message);
    }
    if (message.type === "session.ready") this.#begin(message);
    else if (message.type === "resume.gap") this.seq = message.to;
    else if (message.type === "command.done" && message.cmd === this.#cmd + 1) this.#done("resolve", message);
    else if (message.type === "error") this.#refused(message);
    else if (message.type === "input.credit") this.#source(message.source).credit = message.up_to;
    this.#tell("message", message);
    if (message.type === "input.credit") this.#flush(message.source);
  }

  #begin(ready) {
    this.session = { ...this.session, ...ready };
    this.#readyAt = performance.now();
    this.#tries = 0;
    this.isOpen = true;
    for (const [key, sent] of Object.entries(ready.received)) {
      Object.assign(this.#source(Number(key)), { sent, credit: ready.credit[key] });
      this.#flush(Number(key));
    }
    this.#next();
    this.#tell("state", { state: "open" });
  }

  /** Send the first command; sending one again only brings its result again. */
  #next() {
    const [first] = this.#commands;
    if (first && this.isOpen) this.#socket.send(JSON.stringify({ type: first.type, cmd: this.#cmd + 1, ...first.fields }));
  }

  #done(how, value) {
    this.#cmd += how === "resolve" ? 1 : 0;
    this.#commands.shift()?.[how](value);
    this.#next();
  }

  #refused({ code, cmd, expected, retry_after_s }) {
    if (code === "rate_limited") setTimeout(() => this.#next(), 1000 * (retry_after_s ?? 1));
    else if (code === "bad_sequence" && cmd === this.#cmd + 1) { this.#cmd = expected - 1; this.#next(); }
    else if (cmd === this.#cmd + 1 || (UNREADABLE.has(code) && cmd === undefined)) this.#done("reject", new Error(code));
  }

  #source(number) {
    if (!this.#sources.has(number)) this.#sources.set(number, { sent: 0, credit: 0, ts: 0, held: null, skipped: null });
    return this.#sources.get(number);
  }

  #flush(number) {
    const state = this.#source(number);
    const mayGo = this.isOpen && state.sent < state.credit && this.#socket.bufferedAmount < FULL_BUFFER_BYTES;
    if (!state.held || !mayGo) return;
    const { image, ts, resolve } = state.held;
    state.held = null;
    state.ts = Math.max(state.ts, ts);
    const header = new DataView(new ArrayBuffer(20));
    header.setUint8(0, 1);
    header.setUint16(2, number);
    header.setBigUint64(4, BigInt(++state.sent));
    header.setBigInt64(12, BigInt(Math.round(state.ts * 1e6)));
    this.#socket.send(new Blob([header, image]));
    resolve(state.sent);
    const skipped = state.skipped;
    state.skipped = null;
    if (skipped) this.command("input.skipped", { source: number, ...skipped }).catch(() => {});
  }

  /** A newer frame takes the place of the one that waits. */
  #leaveOut(state) {
    if (!state.held) return;
    const { ts, resolve } = state.held;
    const run = state.skipped ?? { first_ts: ts, count: 0 };
    state.skipped = { first_ts: run.first_ts, last_ts: ts, count: run.count + 1 };
    state.held = null;
    resolve(null);
  }

  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}
