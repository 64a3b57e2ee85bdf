/** A session as a file: its events as JSON lines, or what was said as subtitles. */
import { HOME } from "./client.js";
import { storyOf } from "./story.js";

const PAGE_EVENTS = 5000;
const LAST_CUE_S = 4;

/** All events of a session as the server has kept them. Throws an Error whose message says what is wrong. */
export async function eventLines(session_id, token) {
  const headers = { authorization: `Bearer ${token}` };
  let text = "", after = 0;
  for (;;) {
    const reply = await fetch(`${HOME}/v1/sessions/${session_id}/events?after=${after}&limit=${PAGE_EVENTS}`, { headers });
    if (reply.status === 410) throw new Error("The server has already forgotten the beginning of this session.");
    if (!reply.ok) throw new Error("The server does not give the session out.");
    const lines = await reply.text();
    text += lines;
    const count = lines.split("\n").length - 1;
    if (count < PAGE_EVENTS) return text;
    after += count;
  }
}

/** Subtitles of what was said. `mediaAt` goes from session time to video time, both in seconds. */
export function subtitles(lines, format, mediaAt) {
  const events = lines.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const cues = cuesOf(storyOf(events), mediaAt);
  const point = format === "srt" ? "," : ".";
  const blocks = cues.map(({ from, to, text }, index) => {
    const body = format === "vtt" ? text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;") : text;
    return `${index + 1}\n${stamp(from, point)} --> ${stamp(to, point)}\n${body}\n`;
  });
  return (format === "vtt" ? "WEBVTT\n\n" : "") + blocks.join("\n");
}

/** Each revision from its first word until the next one begins, but not longer than it takes to read. */
function cuesOf(story, mediaAt) {
  const said = story.entries.filter((entry) => entry.kind === "answer").flatMap((entry) => entry.revisions);
  const cues = said
    .map((one) => ({ from: mediaAt(one.t), end: mediaAt(one.end ?? one.t), text: one.text.trim().replace(/\s*\n\s*/g, " ") }))
    .filter((cue) => cue.text)
    .sort((a, b) => a.from - b.from);
  return cues.map(({ from, end, text }, index) => {
    const next = cues[index + 1]?.from ?? Infinity;
    return { from, to: Math.max(from + 0.2, Math.min(next, end + LAST_CUE_S)), text };
  });
}

function stamp(seconds, point) {
  const ms = Math.round(seconds * 1000);
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}${point}${String(ms % 1000).padStart(3, "0")}`;
}

/** Let the browser save a text. */
export function save(text, name, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
