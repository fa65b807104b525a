// What tabs and workers of an origin tell each other, over BroadcastChannel. Nothing is kept.

/** Says something to who hears `name` now. @param {string} name @param {string} text */
export function tell(name, text) {
  const channel = new BroadcastChannel(`edgewise ${name}`);
  channel.postMessage(text);
  channel.close();
}

/** Calls `onText` with what others tell, until the function that it gives is called.
 * @param {string} name @param {(text: string) => void} onText */
export function hear(name, onText) {
  const channel = new BroadcastChannel(`edgewise ${name}`);
  channel.onmessage = ({ data }) => onText(data);
  return () => channel.close();
}
