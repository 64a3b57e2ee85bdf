/** What was asked and said, folded from a session's events. Knows nothing of the page. */

/** @returns {Story} the story that a list of events tells. */
export function storyOf(events) {
  const story = new Story();
  for (const event of events) story.take(event);
  return story;
}

const LOST = { frozen: "its picture does not move", closed: "it has closed", refused: "it does not answer", decoder: "it cannot be decoded" };
const CLOSED = {
  client: "The session has ended.",
  idle: "The session has ended, because nothing came for a while.",
  shutdown: "The server has stopped.",
  error: "The session has ended, because the model failed.",
};

export class Story {
  entries = []; // questions, answers and notes, in order
  silences = []; // {first_ts, last_ts}
  turn = 0;
  dropped = {}; // reason -> count
  perceived = 0;
  #answers = new Map();
  #questions = new Map();
  #losses = new Map(); // of sources that are away

  /** The answer that is being said, if there is one. */
  get speaking() {
    const last = this.entries.findLast((entry) => entry.kind === "answer");
    return last && !last.revisions.at(-1).status ? last : null;
  }

  /** The newest question, as long as nothing was answered. */
  get waiting() {
    const question = this.#questions.get(this.turn);
    return question?.state === "waiting" && question.isDirect ? question : null;
  }

  /** Take the next event in; returns the entry that it made or changed, if any. */
  take(event) {
    switch (event.type) {
      case "input.text.accepted": return this.#question(event);
      case "input.text.unanswered": return this.#settle(event.turn, "unanswered");
      case "turn.started": this.turn = event.turn; return null;
      case "answer.started": return this.#started(event);
      case "answer.revised": return this.#revised(event);
      case "answer.delta": return this.#said(event);
      case "answer.done": return this.#done(event);
      case "silence": this.silences.push({ first_ts: event.first_ts, last_ts: event.last_ts }); return null;
      case "input.frames.dropped":
        this.dropped[event.reason] = (this.dropped[event.reason] ?? 0) + event.count;
        return null;
      case "input.frames.total": this.perceived = event.perceived; return null;
      default: return this.#note(event);
    }
  }

  /** The question of this turn waits for something to happen, and is in no hurry. */
  stand(turn) {
    const question = this.#questions.get(turn);
    if (question) question.isDirect = false;
    return question ?? null;
  }

  #add(entry) {
    this.entries.push(entry);
    return entry;
  }

  #question({ seq, turn, text, t_mono }) {
    const entry = this.#add({ kind: "question", key: `q${seq}`, turn, text, t: t_mono, state: "waiting", isDirect: true });
    this.#questions.set(turn, entry);
    return entry;
  }

  #settle(turn, state) {
    const question = this.#questions.get(turn);
    if (question?.state !== "waiting") return null;
    question.state = state;
    return question;
  }

  #started({ seq, answer_id, turn, rev, evidence, t_mono }) {
    const entry = this.#add({ kind: "answer", key: `a${seq}`, id: answer_id, turn, t: t_mono, revisions: [] });
    entry.revisions.push(revision(rev, t_mono, evidence));
    this.#answers.set(answer_id, entry);
    this.#settle(turn, "answered");
    return entry;
  }

  #revised({ answer_id, rev, evidence, t_mono }) {
    const entry = this.#answers.get(answer_id);
    entry?.revisions.push(revision(rev, t_mono, evidence));
    return entry ?? null;
  }

  #said({ answer_id, rev, text, evidence }) {
    const entry = this.#answers.get(answer_id);
    const current = entry?.revisions.findLast((one) => one.rev === rev);
    if (!current) return null;
    current.text += text;
    current.evidence = evidence;
    return entry;
  }

  #done({ answer_id, rev, status, text, evidence, t_mono }) {
    const entry = this.#answers.get(answer_id);
    const current = entry?.revisions.findLast((one) => one.rev === rev);
    if (!current) return null;
    Object.assign(current, { text, status, end: t_mono, evidence: evidence ?? current.evidence });
    return entry;
  }

  /** One note for each loss of a source, however often it is tried again. */
  #note(event) {
    const text = noteOf(event);
    if (event.type === "source.lost") return this.#losses.get(event.source) ?? this.#loss(event, text);
    if (event.type === "source.discontinuity") this.#losses.delete(event.source);
    return text ? this.#add({ kind: "note", key: `n${event.seq}`, t: event.t_mono, text }) : null;
  }

  #loss({ seq, source, t_mono }, text) {
    const entry = this.#add({ kind: "note", key: `n${seq}`, t: t_mono, text });
    this.#losses.set(source, entry);
    return entry;
  }
}

function revision(rev, t, evidence) {
  return { rev, t, text: "", status: null, end: null, evidence };
}

function noteOf(event) {
  switch (event.type) {
    case "session.recovered": return "The server was restarted. It has kept everything that was said, but no pictures.";
    case "session.closed": return CLOSED[event.reason] ?? "The session has ended.";
    case "source.lost": return `The source is lost: ${LOST[event.cause] ?? event.cause}. Trying again.`;
    case "source.discontinuity": return `The source is back after ${event.gap_s.toFixed(1)} s.`;
    case "source.ended": return event.cause === "removed" ? null : "The video has ended. You can go on asking.";
    case "source.error": return event.fatal ? "The pictures of this source cannot be decoded." : null;
    case "storage.degraded": return "The server's disk is almost full.";
    default: return null;
  }
}
