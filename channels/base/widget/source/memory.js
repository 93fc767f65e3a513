// What survives a reload: the session's token, what was read, and words that were not sent yet.
// A browser may refuse us its storage; then the chat lives as long as the page.
export class Memory {
  #key;
  #area = null;
  #kept = {};
  forTabOnly = false;

  constructor(server, forTabOnly) {
    this.forTabOnly = forTabOnly;
    this.#key = `city-chat ${server}`;
    try {
      this.#area = forTabOnly ? sessionStorage : localStorage;
      this.#kept = JSON.parse(this.#area.getItem(this.#key)) || {};
    } catch {
      /* refused, or not ours: start with nothing */
    }
  }

  get(name) {
    return this.#kept[name];
  }

  set(values) {
    Object.assign(this.#kept, values);
    this.#write();
  }

  clear() {
    this.#kept = {};
    this.#write();
  }

  #write() {
    try {
      this.#area?.setItem(this.#key, JSON.stringify(this.#kept));
    } catch {
      /* full or refused: the page still works */
    }
  }
}

// crypto.randomUUID exists on secure pages only, and a city hall's test page may be plain http.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
