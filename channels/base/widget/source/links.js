// Links in what people and articles say. Only these schemes ever become links, and never with credentials.
const SCHEMES = new Set(["http:", "https:", "tel:", "mailto:"]);
const FOUND = /(?:https?:\/\/|www\.|mailto:|tel:)[^\s<>"“”‘’«»]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+/giu;
const DIALLED = /^[+\d][\d\s().\p{Pd}\/]*$/u; // letters would be lost, and another number called
const TRAILING = /[.,;:!?'*_~،。！？；：]+$/u;

export function safeUrl(address) {
  try {
    const url = new URL(address);
    return SCHEMES.has(url.protocol) && !url.username && !url.password ? url.href : null;
  } catch {
    return null;
  }
}

export function link(address, text) {
  const url = safeUrl(address);
  if (!url) return document.createTextNode(text);
  const a = document.createElement("a");
  a.href = url;
  a.rel = "noopener noreferrer";
  if (url.startsWith("http")) a.target = "_blank";
  a.textContent = text;
  return a;
}

function trimmed(words) {
  for (;;) {
    let next = words.replace(TRAILING, "");
    // A closing bracket belongs to the sentence unless it was opened inside the address.
    if (next.endsWith(")") && next.split("(").length < next.split(")").length) next = next.slice(0, -1);
    if (next === words) return words;
    words = next;
  }
}

function addressOf(words) {
  if (/^www\./i.test(words)) return `https://${words}`;
  return words.includes(":") ? words : `mailto:${words}`;
}

// A number to call: its groups of digits keep their order in words from right to left too.
function call(number) {
  const a = link(`tel:${number.replace(/[^\d+]/g, "")}`, number);
  if (a.nodeType === Node.ELEMENT_NODE) a.dir = "ltr";
  return a;
}

// The text as nodes: whatever is no link stays text, so that no message can become markup.
// `calls` are numbers that become links as well.
export function linked(text, calls = []) {
  try {
    return withLinks(text, calls.filter((number) => DIALLED.test(number)));
  } catch (problem) {
    console.warn("city-chat:", problem);
    return document.createTextNode(text); // a message without links, never none
  }
}

function withLinks(text, calls) {
  const nodes = document.createDocumentFragment();
  const numbers = calls.map((number) => `${number.replace(/[+().\/]/g, "\\$&")}(?!\\d)`);
  let from = 0;
  for (const { 0: found, index } of text.matchAll(new RegExp([FOUND.source, ...numbers].join("|"), "giu"))) {
    const words = calls.includes(found) ? found : trimmed(found);
    nodes.append(text.slice(from, index), calls.includes(words) ? call(words) : link(addressOf(words), words));
    from = index + words.length;
  }
  nodes.append(text.slice(from));
  return nodes;
}
