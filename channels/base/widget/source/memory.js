// What survives a reload: the session's token, what was read, and words that were not sent yet.
// The browser's tabs share it: what is there now is read before each answer and each change.
// A browser may refuse us its storage; then the chat lives as long as the page.
export class Memory {
  #key;
  #area = null;
  #aside = null; // what the storage did not take
  forTabOnly = false;

  constructor(server, forTabOnly) {
    this.forTabOnly = forTabOnly;
    this.#key = `city-chat ${server}`;
    try {
      this.#area = forTabOnly ? sessionStorage : localStorage;
    } catch {
      /* refused */
    }
  }

  get(name) {
    return this.#read()[name];
  }

  set(values) {
    this.#write({ ...this.#read(), ...values });
  }

  clear() {
    this.#write({});
  }

  #read() {
    try {
      return this.#aside || JSON.parse(this.#area.getItem(this.#key)) || {};
    } catch {
      return {}; // refused, or not ours: start with nothing
    }
  }

  #write(values) {
    try {
      this.#area.setItem(this.#key, JSON.stringify(values));
      this.#aside = null;
    } catch {
      this.#aside = values; // full or refused: the page still works
    }
  }
}

// crypto.randomUUID exists on secure pages only, and a city hall's test page may be plain http.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
