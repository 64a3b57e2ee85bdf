/** Where pictures come from: a <video> that plays a camera, a screen or a file, looked at a few times per second. */

const MAX_SIDE_PX = 640;
const JPEG_QUALITY = 0.8;
const MAX_STEP_S = 2; // a video that stands still must not run on in the subtitles
const KEPT_FRAMES = 240; // pictures that an answer may still name

/** A camera. Throws what getUserMedia throws. */
export async function camera() {
  const video = { facingMode: { ideal: "environment" }, width: { ideal: 1280 } };
  return { stream: await devices().getUserMedia({ video, audio: false }) };
}

/** A screen or a window that the user chooses. */
export async function screen() {
  return { stream: await devices().getDisplayMedia({ video: true, audio: false }) };
}

/** A file of the user's, or a clip of this server. */
export function file(chosen) { return { url: URL.createObjectURL(chosen) }; }
export function clip(path) { return { url: path }; }

export class Capture {
  frames = new Map(); // frame number -> {url, ts, media_s}
  #video; #canvas = document.createElement("canvas"); #ticker = null; #stream = null; #url = null; #times = [];

  constructor(video) { this.#video = video; }

  /** Play one of the media above. Throws where the browser cannot. */
  async play({ stream = null, url = null }) {
    this.#stream = stream;
    this.#url = url;
    if (stream) this.#video.srcObject = stream;
    else this.#video.src = url;
    this.#video.controls = stream === null;
    await this.#video.play();
  }

  get isLive() { return this.#stream !== null; }

  /** Length in seconds; infinite for a live source. */
  get duration_s() { return Number.isFinite(this.#video.duration) ? this.#video.duration : Infinity; }

  /** Call `send(blob, media_s)` for each picture, `fps` times per second; it resolves to a frame number or null. */
  run(fps, send, onEnd) {
    this.#ticker = new Worker("/page/ticker.js");
    this.#ticker.onmessage = () => this.#look(send);
    this.#ticker.postMessage(1000 / fps);
    this.#video.onended = onEnd;
    for (const track of this.#stream?.getVideoTracks() ?? []) track.onended = onEnd;
    return this.#look(send);
  }

  /** Look less or more often from now on. */
  pace(fps) { this.#ticker?.postMessage(1000 / fps); }

  /** Video time (s) at a time of the session (s), by the newest picture that was sent before it. */
  mediaAt(ts) {
    const before = this.#times.findLast((one) => one.ts <= ts) ?? this.#times[0];
    return before ? Math.max(0, before.media_s + Math.min(MAX_STEP_S, Math.max(0, ts - before.ts))) : 0;
  }

  /** Stop looking, and let go of the camera and of every picture. */
  stop() {
    this.#ticker?.terminate();
    this.#ticker = null;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#video.onended = null;
    this.#video.pause();
    this.#video.srcObject = null;
    this.#video.removeAttribute("src");
    this.#video.load();
    if (this.#url?.startsWith("blob:")) URL.revokeObjectURL(this.#url);
    for (const { url } of this.frames.values()) URL.revokeObjectURL(url);
    this.frames.clear();
    this.#times = [];
    this.#stream = this.#url = null;
  }

  async #look(send) {
    const video = this.#video;
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || video.paused || video.ended) return null;
    const media_s = this.isLive ? null : video.currentTime;
    const blob = await this.#jpeg();
    if (!blob) return null;
    const sent = await send(blob, media_s);
    if (sent) this.#keep(sent, blob, media_s);
    return sent;
  }

  #jpeg() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const scale = Math.min(1, MAX_SIDE_PX / Math.max(width, height));
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    this.#canvas.getContext("2d").drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    return new Promise((resolve) => this.#canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
  }

  #keep({ number, ts }, blob, media_s) {
    this.frames.set(number, { url: URL.createObjectURL(blob), ts, media_s, isUsed: false });
    this.#times.push({ ts, media_s: media_s ?? ts - (this.#times[0]?.ts ?? ts) });
    const loose = [...this.frames].filter(([, frame]) => !frame.isUsed);
    for (const [old, { url }] of loose.slice(0, Math.max(0, loose.length - KEPT_FRAMES))) {
      URL.revokeObjectURL(url);
      this.frames.delete(old);
    }
  }
}

function devices() {
  if (!navigator.mediaDevices) throw new DOMException("", "InsecureContext");
  return navigator.mediaDevices;
}
