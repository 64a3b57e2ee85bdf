/**
 * A client of `vigil serve`: one session, over a socket that comes back by itself.
 *
 *   const vigil = new Vigil({ token, open: { sources: [{ source: 0, kind: "push" }] } });
 *   vigil.addEventListener("event", ({ detail }) => console.log(detail.type, detail.text));
 *   await vigil.frame(0, jpegBlob);
 *   await vigil.command("input.text", { text: "What is on the table?", mode: "interrupt", answer_by_s: 10 });
 *
 * What it dispatches is told in client.js, which keeps the connection.
 */
import { Client } from "./client.js";

const FULL_BUFFER_BYTES = 1 << 20;
const UNREADABLE = new Set(["bad_json", "bad_message", "unknown_type"]); // errors that name no command

function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Vigil extends Client {
  #readyAt = 0;
  #commands = []; // until command.done; only the first is on its way, so that a refused one leaves no hole
  #cmd = 0; // number of the newest one that was done
  #sources = new Map();

  constructor({ token, url, open = {} }) {
    super({ token, url, open: { client_id: randomId(), open_id: randomId(), ...open } });
    this.addEventListener("message", ({ detail }) => this.#hear(detail));
    this.addEventListener("state", ({ detail }) => detail.state === "closed" && this.#over());
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
    else this.leave();
  }

  #hear(message) {
    if (message.type === "session.ready") this.#begin(message);
    else if (message.type === "command.done" && message.cmd === this.#cmd + 1) this.#done("resolve", message);
    else if (message.type === "error") this.#refused(message);
    else if (message.type === "input.credit") {
      this.#source(message.source).credit = message.up_to;
      this.#flush(message.source);
    }
  }

  #begin(ready) {
    this.#readyAt = performance.now();
    for (const [key, sent] of Object.entries(ready.received)) {
      Object.assign(this.#source(Number(key)), { sent, credit: ready.credit[key] });
      this.#flush(Number(key));
    }
    this.#next();
  }

  #over() {
    for (const { reject } of this.#commands.splice(0)) reject(new Error("closed"));
  }

  /** Send the first command; sending one again only brings its result again. */
  #next() {
    const [first] = this.#commands;
    if (first && this.isOpen) this.send(JSON.stringify({ type: first.type, cmd: this.#cmd + 1, ...first.fields }));
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
    const mayGo = this.isOpen && state.sent < state.credit && this.waitingBytes < FULL_BUFFER_BYTES;
    if (!state.held || !mayGo) return;
    const { image, ts, resolve } = state.held;
    state.held = null;
    state.ts = Math.max(state.ts, ts);
    const header = new DataView(new ArrayBuffer(20));
    header.setUint8(0, 1);
    header.setUint16(2, number);
    header.setBigUint64(4, BigInt(++state.sent));
    header.setBigInt64(12, BigInt(Math.round(state.ts * 1e6)));
    this.send(new Blob([header, image]));
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
}
