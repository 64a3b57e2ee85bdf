/**
 * One session of `vigil serve` over as many sockets as it takes. It comes back by itself, asks for exactly the events that are
 * missing, and dispatches "event" (durable: each one once, in order), "message" (transient) and "state" (connecting, open,
 * waiting, closed). `vigil.js` adds commands and frames.
 */
const FIRST_WAIT_MS = 500, LAST_WAIT_MS = 30_000, DEAD_MS = 10_000;
const FINAL = new Set([1000, 4000, 4401, 4404, 4410]); // close codes after which coming back is of no use

/** Where the server is. Of many replicas behind one address, it is the one that this file came from. */
export const HOME = new URL("..", import.meta.url).href.replace(/\/$/, "");

export class Client extends EventTarget {
  seq = 0; // number of the newest event
  session = null; // the newest session.ready
  isOpen = false;
  #open; #token; #url; #socket = null; #timer = 0; #watch = 0; #tries = 0; #isOver = false;

  constructor({ token, url = HOME, open }) {
    super();
    [this.#token, this.#url, this.#open] = [token, url, { type: "session.open", ...open }];
    this.#connect();
  }

  /** Text or bytes, now; only while `isOpen`. */
  send(data) { this.#socket.send(data); }

  get waitingBytes() { return this.#socket.bufferedAmount; }

  /** Try at once, for example when the network has come back. */
  retry() { if (this.#timer) this.#connect(); }

  /** Have nothing to do with the session any more. */
  leave() { this.#lost(1000); }

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

  #hear(message) {
    this.#listen();
    if ("seq" in message && message.type !== "command.done") {
      if (message.seq <= this.seq) return;
      if (message.seq > this.seq + 1) return this.#lost(1006); // never a hole: ask for it again
      this.seq = message.seq;
      return this.#tell("event", message);
    }
    if (message.type === "resume.gap") this.seq = Math.max(this.seq, message.to);
    const isReady = message.type === "session.ready";
    if (isReady) [this.session, this.#tries, this.isOpen] = [{ ...this.session, ...message }, 0, true];
    this.#tell("message", message);
    if (isReady) this.#tell("state", { state: "open" });
  }

  #lost(code) {
    const socket = this.#socket;
    this.#socket = null; // what it still says is not heard
    this.isOpen = false;
    clearTimeout(this.#watch);
    clearTimeout(this.#timer);
    socket?.close();
    this.#isOver ||= FINAL.has(code);
    if (this.#isOver) return this.#tell("state", { state: "closed", code });
    const wait_ms = Math.random() * Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#tries++);
    this.#timer = setTimeout(() => this.#connect(), wait_ms);
    return this.#tell("state", { state: "waiting", code, wait_ms });
  }

  /** The server says something each second; a connection that says nothing for long is dead. */
  #listen() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(1006), DEAD_MS);
  }

  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}
