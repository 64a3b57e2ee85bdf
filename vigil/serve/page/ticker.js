/** Ticks every so many milliseconds, also while the page is not in view, where its own timers are slowed down. */
let timer = 0;
onmessage = ({ data }) => {
  clearInterval(timer);
  timer = setInterval(() => postMessage(null), data);
};
