/** The page: which source is watched, what is asked, and what is shown of it. */
import { Capture, camera, clip, file, screen } from "./capture.js";
import { HOME } from "./client.js";
import { eventLines, save, subtitles } from "./exports.js";
import { Story } from "./story.js";
import { Vigil } from "./vigil.js";
import { Feed, Strip, byId, clock, delay, make } from "./view.js";

const TOKEN_KEY = "vigil.token";
const ANSWER_BY_S = 10;
const LATE_S = 5; // without a picture that reached the model, the page says so
const TICK_MS = 500, RETRY_MS = 2000;
const ENDINGS = {
  1000: "Ended", 4000: "Taken over by another window", 4401: "Token refused", 4404: "This session is gone", 4410: "This session is gone",
};
const TROUBLE = {
  NotAllowedError: "The browser was not allowed to use it. Allow it in the address bar, then choose it again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is in use by another program.",
  InsecureContext: "Browsers give cameras and screens only to pages on this machine or behind https.",
};
const REFUSED = { too_large: "it is too long for this model", rate_limited: "there were too many questions at once" };

let token = null;
let abilities = null; // a promise of what the server can do
let now = null; // what is being watched
const strip = new Strip((key) => now?.feed.point(key));

// ---- one source, one session ---------------------------------------------------------------------------------------

/** Watch something from now on: `media` in this page, or a `source` of the server. */
async function watch(name, { media = null, source = { kind: "push" }, question = null, label = "", again = null }) {
  leave();
  const capture = new Capture(byId("video"));
  const vigil = new Vigil({ token, open: { sources: [{ source: 0, ...source }] } });
  const mediaAt = (t) => (media ? capture.mediaAt(t) : t);
  const self = {
    name, vigil, capture, mediaAt, isLocal: media !== null, story: new Story(), feed: new Feed(capture.frames, mediaAt),
    seen: 0, skipped: 0, lag_ms: null, seen_at: performance.now(), spoke_at: performance.now(), question, again, ended: false,
  };
  now = self;
  vigil.addEventListener("event", ({ detail }) => now === self && onEvent(self, detail));
  vigil.addEventListener("message", ({ detail }) => now === self && onMessage(self, detail));
  vigil.addEventListener("state", ({ detail }) => now === self && onState(detail));
  byId("remote").hidden = media !== null;
  byId("remote").textContent = label;
  byId("video").hidden = media === null;
  for (const button of document.querySelectorAll("[data-source]")) {
    button.setAttribute("aria-pressed", String(button.dataset.source === name));
  }
  problem("");
  if (!media) return askFirst(self);
  await capture.play(media);
  if (now !== self) return undefined;
  return capture.run(Number(byId("fps").value), (blob) => send(self, blob), () => onEnded(self));
}

/** Let go of what is being watched. */
function leave() {
  now?.vigil.close();
  now?.capture.stop();
  now = null;
}

async function send(self, blob) {
  if (self.ended) return null;
  const ts = self.vigil.now;
  const number = await self.vigil.frame(0, blob, ts);
  if (number === null) self.skipped += 1;
  else if (self.question) askFirst(self, { after_frame: { source: 0, frame_no: number } });
  return number === null ? null : { number, ts };
}

async function askFirst(self, more = {}) {
  const { question } = self;
  self.question = null;
  const text = await question;
  if (text && now === self) ask(text, { more });
}

function onEnded(self) {
  if (now !== self || self.ended) return;
  self.ended = true;
  self.vigil.command("input.end", { source: 0 }).catch(() => {});
}

// ---- choosing a source ---------------------------------------------------------------------------------------------

async function choose(name) {
  try {
    if (name === "file") byId("file").click();
    else if (name === "demo") await demo();
    else if (name === "camera") await watch(name, { media: await camera() });
    else if (name === "screen") await watch(name, { media: await screen() });
    else await watch(name, { source: { kind: "camera", name: name.slice(1) }, label: `${name.slice(1)}: the picture stays on the server` });
  } catch (error) {
    if (error.name !== "AbortError") problem(TROUBLE[error.name] ?? "This source could not be opened.");
  }
}

/** The bundled clip, with the first of its questions that can be answered at once. */
async function demo() {
  const question = abilities.then((known) => known?.demo.questions.find((one) => !one.standing)?.text);
  await watch("demo", { media: clip("/page/demo.mp4"), question, again: demo });
}

/** A file: played here, or, where this browser cannot play it, by the server. */
async function watchFile(chosen) {
  try {
    await watch("file", { media: file(chosen), again: () => watchFile(chosen) });
  } catch {
    problem("This browser cannot play the file. Sending it to the server …");
    const headers = { authorization: `Bearer ${token}` };
    const reply = await fetch(`${HOME}/v1/uploads`, { method: "PUT", headers, body: chosen }).catch(() => null);
    if (!reply?.ok) return problem(reply?.status === 413 ? "The file is too large." : "The file could not be sent.");
    const { upload_id } = await reply.json();
    await watch("file", { source: { kind: "upload", upload_id }, label: `${chosen.name}: played by the server` });
  }
}

// ---- asking --------------------------------------------------------------------------------------------------------

async function ask(text, { standing = false, more = {} } = {}) {
  const self = now;
  if (!self) return problem("Choose something to watch first.");
  problem("");
  const answer_by_s = standing ? null : ANSWER_BY_S;
  try {
    const { result } = await self.vigil.command("input.text", { text, mode: "interrupt", answer_by_s, ...more });
    if (standing) refresh(self, self.story.stand(result.turn));
  } catch (error) {
    if (now === self) problem(error.message === "closed" ? "The session has ended. Choose a source to begin again." : `Not asked: ${REFUSED[error.message] ?? error.message}.`);
  }
}

const interrupt = () => now?.story.speaking && now.vigil.command("answer.cancel").catch(() => {});

// ---- what the server says --------------------------------------------------------------------------------------------

function onEvent(self, event) {
  const entry = self.story.take(event);
  if (event.type.startsWith("answer.")) self.spoke_at = performance.now();
  if (event.type === "input.frames.total") self.seen = event.perceived;
  if (event.type === "source.ended") self.ended = true;
  refresh(self, entry);
}

function onMessage(self, message) {
  if (message.type === "input.frame.perceived") {
    self.seen += 1;
    self.lag_ms = message.age_ms;
    self.seen_at = performance.now();
  } else if (message.type === "resume.gap") {
    problem(`Events ${message.from} to ${message.to} are gone (${message.reason}).`);
  } else if (message.type === "server.going_away") {
    connection("waiting", "The server is restarting");
  } else if (message.type === "storage.failed") {
    problem("The server's disk has failed. What is said now is not kept.");
  }
}

function onState({ state, code, wait_ms }) {
  if (state === "open") connection("open", "Connected");
  else if (state === "connecting") connection("connecting", "Connecting");
  else if (state === "waiting") {
    const why = code === 1013 ? "The server is full" : "Connection lost";
    connection("waiting", `${why}, again in ${Math.max(1, Math.ceil(wait_ms / 1000))} s`);
  } else {
    connection("closed", ENDINGS[code] ?? "Ended");
    if (code === 4401) door("That token is not the right one. It is in the address that vigil serve prints.");
  }
}

// ---- what is shown ---------------------------------------------------------------------------------------------------

function refresh(self, entry) {
  if (now !== self) return;
  if (entry) self.feed.show(entry);
  showMood();
}

function connection(state, text) {
  byId("connection").dataset.state = state;
  byId("connection").textContent = text;
}

function problem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

/** Silence is a state like any other: the eye is open, and nothing needs to be said. */
function moodOf(self) {
  const since = (then) => Math.floor((performance.now() - then) / 1000);
  if (!self) return ["off", "Nothing to watch yet"];
  if (!self.vigil.isOpen) return ["off", self.vigil.seq ? "Not connected" : "Starting"];
  if (self.story.speaking) return ["speaking", "Speaking"];
  if (self.story.waiting) return ["thinking", "Looking for the answer"];
  if (self.ended) return ["off", "The video has ended"];
  if (self.isLocal && byId("video").paused) return ["off", "Paused"];
  if (since(self.seen_at) >= LATE_S) return ["late", `No picture has reached the model for ${since(self.seen_at)} s`];
  return ["quiet", `Watching, quiet for ${clock(since(self.spoke_at))}`];
}

function showMood() {
  const [mood, text] = moodOf(now);
  byId("quiet").dataset.mood = mood;
  if (byId("mood").textContent !== text) byId("mood").textContent = text;
  byId("stop").hidden = mood !== "speaking";
}

function showFigures() {
  const { story, capture, vigil, mediaAt } = now;
  byId("lag").textContent = now.lag_ms === null ? "–" : delay(now.lag_ms);
  byId("seen").textContent = String(now.seen);
  const reasons = Object.entries(story.dropped);
  byId("dropped").textContent = String(reasons.reduce((sum, [, count]) => sum + count, 0));
  byId("dropped").title = reasons.map(([reason, count]) => `${reason}: ${count}`).join(", ");
  byId("skipped").textContent = String(now.skipped);
  const duration_s = now.isLocal ? capture.duration_s : Infinity;
  strip.draw(story, capture.frames, { now_s: mediaAt(vigil.now), duration_s, mediaAt });
}

setInterval(() => { showMood(); if (now) showFigures(); }, TICK_MS);

// ---- the rest of the page --------------------------------------------------------------------------------------------

async function saveAs(format) {
  byId("menu").open = false;
  try {
    if (!now?.vigil.session) throw new Error("There is nothing to save yet.");
    const self = now;
    const lines = await eventLines(self.vigil.session.session_id, token);
    const text = format === "jsonl" ? lines : subtitles(lines, format, self.mediaAt);
    const type = { jsonl: "application/x-ndjson", srt: "application/x-subrip", vtt: "text/vtt" }[format];
    save(text, `vigil-${self.name.replace(/\W/g, "")}.${format}`, type);
  } catch (error) {
    problem(error.message);
  }
}

function door(why) {
  if (why) byId("door-why").textContent = why;
  if (!byId("door").open) byId("door").showModal();
}

/** The token leaves the address bar at once, so that it is neither shown nor kept in the history. */
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(TOKEN_KEY, given);
    history.replaceState(null, "", location.pathname);
  }
  token = sessionStorage.getItem(TOKEN_KEY);
}

async function start() {
  if (!token) return door();
  abilities = learn();
  choose("demo");
  const known = await abilities;
  byId("cameras").replaceChildren(...(known?.cameras ?? []).map((name) => sourceButton(`@${name}`, name)));
  byId("ideas").replaceChildren(...(known?.demo.questions ?? []).map(idea));
}

/** What the server can do; null if it does not want to tell. */
async function learn() {
  const headers = { authorization: `Bearer ${token}` };
  for (;;) {
    const reply = await fetch(`${HOME}/v1/capabilities`, { headers }).catch(() => null);
    if (reply?.ok) return reply.json();
    if (reply?.status === 401 || reply?.status === 403) return null;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function sourceButton(name, text) {
  const button = make("button", "", text);
  Object.assign(button, { type: "button" });
  button.dataset.source = name;
  button.setAttribute("aria-pressed", "false");
  return button;
}

function idea({ text, standing }) {
  const button = make("button", "idea", text);
  button.type = "button";
  button.onclick = () => ask(text, { standing });
  return button;
}

byId("sources").addEventListener("click", ({ target }) => {
  const name = target.closest("[data-source]")?.dataset.source;
  if (name && token) choose(name);
});
byId("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) watchFile(target.files[0]);
  target.value = "";
});
byId("fps").addEventListener("change", ({ target }) => now?.capture.pace(Number(target.value)));
byId("stop").addEventListener("click", interrupt);
byId("menu").addEventListener("click", ({ target }) => {
  const format = target.closest("[data-save]")?.dataset.save;
  if (format) saveAs(format);
});
byId("ask").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const text = byId("question").value.trim();
  if (text) ask(text, { standing: byId("standing").checked });
  byId("ask").reset();
});
byId("enter").addEventListener("submit", (submit) => {
  submit.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, byId("token").value.trim());
  byId("door").close();
  takeToken();
  start();
});
document.addEventListener("keydown", (press) => {
  const isTyping = press.target.matches("input, select, textarea");
  if (press.key === "Escape") { interrupt(); byId("menu").open = false; }
  if (press.key === "/" && !isTyping) { press.preventDefault(); byId("question").focus(); }
});
document.addEventListener("click", ({ target }) => { if (!target.closest("#menu")) byId("menu").open = false; });
byId("video").addEventListener("play", () => { if (now?.ended) now.again?.(); });
byId("sources").querySelector("[data-source=screen]").hidden = Boolean(navigator.mediaDevices && !navigator.mediaDevices.getDisplayMedia);
addEventListener("online", () => now?.vigil.retry());
addEventListener("pagehide", leave);
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
addEventListener("hashchange", () => { takeToken(); start(); });
takeToken();
start();
