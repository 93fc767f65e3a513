// One visitor's line to the city: a session, messages in order, and a connection that mends itself.
// A WebSocket where the network lets it through, long polling where it does not.
import { newId } from "./memory.js";

const POLL = 20; // seconds a poll is held
const SOCKET_PATIENCE = 4000; // until a socket that neither opens nor fails counts as blocked
const SOCKET_AGAIN = 60000; // then poll this long before another try
const SILENCE = 120000; // a socket with no heartbeat for so long is dead
const LONGEST_PAUSE = 30000;
const UNKNOWN_TICKET = 4401;
const TOO_MANY = 4429;

const NOT_REACHED = Symbol("not reached");

export class Line {
  after = 0;
  typing = false;
  #server;
  #memory;
  #token; // the conversation that this page shows
  #on;
  #queue = [];
  #own = new Set(); // client_id of what this page has had to send
  #draining = false;
  #running = false;
  #socket = null;
  #socketFrom = 0;
  #heard = 0;
  #sleepers = new Set();
  #abort = new AbortController();
  #opening = null;
  language = "en";

  constructor(server, memory, on) {
    this.#server = `${server}/channels/web_chat`;
    this.#memory = memory;
    this.#on = on;
    this.#token = memory.get("token");
    this.#queue = memory.get("unsent") || [];
    for (const { client_id } of this.#queue) this.#own.add(client_id);
  }

  get unsent() {
    return this.#queue;
  }

  get hasSession() {
    return Boolean(this.#token);
  }

  // Connects where there is a session to connect to; a visitor who only looks costs the city nothing.
  start() {
    if (!this.#running && this.hasSession) {
      this.#running = true;
      this.#abort = new AbortController();
      this.#run();
    }
    this.#drain();
  }

  stop() {
    this.#running = false;
    this.#abort.abort();
    this.#socket?.close();
    this.wake();
  }

  // The network is back: whatever was open before may be dead without knowing it.
  restart() {
    this.stop();
    this.start();
  }

  // The page is looked at again: no need to wait any longer.
  wake() {
    for (const sleeper of this.#sleepers) sleeper();
    if (this.#socket && Date.now() - this.#heard > SILENCE / 2) this.#socket.close();
  }

  // The conversation is the browser's: what another tab began or forgot, this one begins or forgets too.
  follow() {
    const token = this.#memory.get("token");
    if (token === this.#token) return;
    this.stop();
    this.#token = token;
    this.after = 0;
    this.#on.changed();
    this.start();
  }

  forget() {
    this.stop();
    this.#queue = [];
    this.#memory.clear();
    this.#token = undefined;
    this.after = 0;
  }

  send(message) {
    const item = { client_id: newId(), ...message };
    this.#own.add(item.client_id);
    this.#queue.push(item);
    this.#save();
    this.#drain();
    return item;
  }

  again(item) {
    this.#queue.push(item);
    this.#save();
    this.#drain();
  }

  #save() {
    // Files cannot be kept; everything else waits for the connection even through a reload.
    // What another tab has still to send stays as it is.
    const others = (this.#memory.get("unsent") || []).filter((item) => !this.#own.has(item.client_id));
    const unsent = this.#queue.filter((item) => !item.files).map(({ onprogress, ...words }) => words);
    this.#memory.set({ unsent: [...others, ...unsent] });
  }

  async #sleep(milliseconds) {
    await new Promise((done) => {
      const wake = () => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        done();
      };
      const timer = setTimeout(wake, milliseconds);
      this.#sleepers.add(wake);
    });
  }

  async #ask(path, options = {}) {
    const headers = { ...options.headers, ...(this.#token && { Authorization: `Bearer ${this.#token}` }) };
    try {
      return await fetch(this.#server + path, { credentials: "omit", ...options, headers });
    } catch {
      throw NOT_REACHED;
    }
  }

  async #post(path, body) {
    return this.#ask(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body ?? {}),
    });
  }

  async #open() {
    this.follow();
    if (this.hasSession) return;
    this.#opening ??= (async () => {
      try {
        const answer = await this.#post("/sessions", { language: this.language, shared: this.#memory.forTabOnly });
        if (!answer.ok) throw NOT_REACHED;
        const { token } = await answer.json();
        if (this.#memory.get("token")) return this.follow(); // another tab was faster
        this.#memory.set({ token });
        this.#token = token;
        this.after = 0;
      } finally {
        this.#opening = null;
      }
    })();
    await this.#opening;
    this.start();
  }

  // The server does not know our token any more: what was said is gone from this page, what was not sent is not.
  #lost() {
    if (this.#memory.get("token") === this.#token) this.#memory.set({ token: undefined, seen: 0 });
    this.follow();
  }

  // ---- sending: strictly one after the other, the same client_id until the city has it

  async #drain() {
    if (this.#draining) return;
    this.#draining = true;
    let pause = 1000;
    while (this.#queue.length) {
      const item = this.#queue[0];
      let wait = 0;
      try {
        if (!this.hasSession) await this.#open();
        const { status, answer } = item.files ? await this.#upload(item) : await this.#say(item);
        if (this.#queue[0] !== item) continue; // forgotten meanwhile
        if (status < 300) {
          this.#queue.shift();
          this.#on.sent(item);
          this.#on.state("open");
          pause = 1000;
        } else if (status === 401) {
          this.#lost();
        } else if (status === 429) {
          wait = 1000 * (answer.retry_after || 2);
          this.#on.slow();
        } else if (status >= 500 || status === 408) {
          throw NOT_REACHED;
        } else {
          this.#queue.shift();
          this.#on.refused(item, answer);
        }
      } catch (problem) {
        if (problem !== NOT_REACHED) console.warn("city-chat:", problem);
        this.#on.state("offline");
        wait = pause;
        pause = Math.min(2 * pause, LONGEST_PAUSE);
      }
      this.#save();
      if (wait) await this.#sleep(wait);
    }
    this.#draining = false;
  }

  async #say({ client_id, text, button }) {
    const answer = await this.#post("/messages", { client_id, text, button, language: this.language });
    return { status: answer.status, answer: await answer.json().catch(() => ({})) };
  }

  // XMLHttpRequest, because fetch cannot tell how far an upload is.
  #upload({ client_id, text, files, onprogress }) {
    const form = new FormData();
    form.append("client_id", client_id);
    form.append("text", text || "");
    form.append("language", this.language);
    for (const file of files) form.append("file", file, file.name);
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open("POST", `${this.#server}/messages`);
      request.setRequestHeader("Authorization", `Bearer ${this.#token}`);
      request.responseType = "json";
      request.upload.onprogress = (event) => onprogress?.(event.loaded / (event.total || 1));
      request.onload = () => done({ status: request.status, answer: request.response || {} });
      request.onerror = request.onabort = () => failed(NOT_REACHED);
      request.send(form);
    });
  }

  // ---- listening

  async #run() {
    const { signal } = this.#abort;
    let pause = 500;
    while (!signal.aborted && this.hasSession) {
      try {
        if (Date.now() >= this.#socketFrom && "WebSocket" in globalThis) await this.#listen(signal);
        else await this.#poll(signal);
        pause = 500;
      } catch (problem) {
        if (signal.aborted) break;
        if (problem !== NOT_REACHED) console.warn("city-chat:", problem);
        this.#on.state("offline");
        await this.#sleep(pause * (0.5 + Math.random()));
        pause = Math.min(2 * pause, LONGEST_PAUSE);
      }
    }
    if (this.#abort.signal === signal) this.#running = false;
  }

  // Resolves when a socket that worked has closed, or when it turns out that polling is the way.
  async #listen(signal) {
    const answer = await this.#ask("/ticket", { method: "POST", signal });
    if (answer.status === 401) return this.#lost();
    if (!answer.ok) throw NOT_REACHED;
    const { ticket } = await answer.json();
    const address = new URL(`${this.#server}/socket`, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams({ ticket, after: this.after });
    const { code, lived } = await this.#converse(address, signal);
    if (signal.aborted || code === UNKNOWN_TICKET) return;
    if (code === TOO_MANY || lived < SOCKET_PATIENCE) this.#socketFrom = Date.now() + SOCKET_AGAIN;
  }

  #converse(address, signal) {
    return new Promise((ended) => {
      let socket;
      try {
        socket = new WebSocket(address);
      } catch {
        return ended({ code: 0, lived: 0 });
      }
      this.#socket = socket;
      this.#heard = Date.now();
      let opened = 0;
      const impatience = setTimeout(() => end(0), SOCKET_PATIENCE);
      const watch = setInterval(() => Date.now() - this.#heard > SILENCE && end(0), SILENCE / 8);
      const end = (code) => {
        clearTimeout(impatience);
        clearInterval(watch);
        if (this.#socket === socket) this.#socket = null;
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close();
        this.#tell({ typing: false });
        ended({ code, lived: opened && Date.now() - opened });
      };
      signal.addEventListener("abort", () => end(0), { once: true });
      socket.onopen = () => {
        clearTimeout(impatience);
        opened = Date.now();
        this.#on.state("open");
        this.#drain();
      };
      socket.onmessage = ({ data }) => {
        this.#heard = Date.now();
        const news = JSON.parse(data);
        if (news.type === "beat") socket.send('{"type":"beat"}');
        else this.#tell(news);
      };
      socket.onclose = ({ code }) => end(code);
    });
  }

  async #poll(signal) {
    const query = new URLSearchParams({ after: this.after, wait: POLL, typing: this.typing });
    const answer = await this.#ask(`/messages?${query}`, { signal });
    if (answer.status === 401) return this.#lost();
    if (answer.status === 429) return this.#sleep(5000);
    if (!answer.ok) throw NOT_REACHED;
    this.#on.state("open");
    this.#tell(await answer.json());
  }

  #tell({ messages, typing }) {
    const fresh = (messages || []).filter((message) => message.seq > this.after);
    if (fresh.length) {
      this.after = fresh.at(-1).seq;
      this.#on.messages(fresh);
    }
    if (typing !== undefined && typing !== this.typing) {
      this.typing = typing;
      this.#on.typing(typing);
    }
  }

  // ---- files

  async file(id) {
    const answer = await this.#ask(`/attachments/${encodeURIComponent(id)}`);
    if (!answer.ok) throw NOT_REACHED;
    return answer.blob();
  }

  async labels(language) {
    const answer = await this.#ask(`/labels?lang=${encodeURIComponent(language)}`);
    return answer.ok ? answer.json() : null;
  }
}
