/** Keys that do something wherever the focus is. */

/** Tell whether a key is free for that: it is neither typed into a field, nor meant for an open dialog, the browser, or somebody before. */
export function isFree(event) {
  const isCommand = event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented;
  return !isCommand && !isTyping(event.target) && !document.querySelector("dialog[open]");
}

export function isTyping(element) {
  return element.matches?.("textarea, select, [contenteditable], input:not([type='checkbox'], [type='radio'], [type='range'])");
}
