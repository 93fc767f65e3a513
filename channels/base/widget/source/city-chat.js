// <city-chat server="https://chat.city.example" lang="de" title="Ask the city" open remember="tab"></city-chat>
//
// server    where Civicline runs; by default the place this script came from
// lang      language of the labels; by default the page's
// title     heading and name of the button; by default the city's own words
// open      shown at once, and kept in step with what is shown
// remember  "tab": forget the conversation with the tab, join it with no other chat (for shared computers); by default the browser remembers
import style from "./city-chat.css";
import english from "../english.json";
import { Composer } from "./composer.js";
import { icon } from "./icons.js";
import { Line } from "./line.js";
import { iconButton, make } from "./make.js";
import { Memory } from "./memory.js";
import { day, messageElement, reopen, settle } from "./message.js";

const home = document.currentScript?.src ? new URL(document.currentScript.src).origin : location.origin;
const WHOLE_SCREEN = "(max-width: 30rem), (max-height: 26rem)"; // as in the style sheet
const sheet = new CSSStyleSheet();
sheet.replaceSync(style);

class CityChat extends HTMLElement {
  static observedAttributes = ["open", "lang", "title"];

  language = "en";
  limits = { characters: 2000, megabytes: 20, files: 5, types: [] };
  #labels = english;
  #title = "";
  #root = this.attachShadow({ mode: "open" });
  #line;
  #memory;
  #composer;
  #parts = {};
  #mine = new Map(); // client_id -> element of what this page sent
  #unread = 0;
  #lastDay = "";
  #lastTop = 0;
  #following = true; // the newest message is kept in view
  #filling = true; // history is being put back: it is shown and not announced
  #offline = false;
  #opener = null;
  #listeners = null;

  connectedCallback() {
    this.#root.adoptedStyleSheets = [sheet];
    const server = (this.getAttribute("server") || home).replace(/\/+$/, "");
    this.#memory = new Memory(server, this.getAttribute("remember") === "tab");
    this.#line = new Line(server, this.#memory, {
      changed: () => this.#emptied(),
      state: (state) => this.#connection(state),
      messages: (messages) => this.#arrived(messages),
      typing: (typing) => this.#typing(typing),
      sent: (item) => this.#sent(item),
      refused: (item, answer) => this.#refused(item, answer),
      slow: () => this.#status(this.say("slow_down")),
    });
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    window.addEventListener("online", () => this.#line.restart(), { signal });
    window.addEventListener("offline", () => this.#connection("offline"), { signal });
    window.addEventListener("storage", () => this.#line.follow(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#line.wake(), { signal });
    window.visualViewport?.addEventListener("resize", () => this.#fit(), { signal });
    window.visualViewport?.addEventListener("scroll", () => this.#fit(), { signal });
    this.#build();
    this.#parts.all.classList.add("mute"); // no flash of English before the city's words are here
    this.#speak().finally(() => {
      this.#parts.all.classList.remove("mute");
      this.#line.start();
    });
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#line.stop();
  }

  attributeChangedCallback(name, before, now) {
    // A title attribute would hang a tooltip over the whole chat: take the words, leave the attribute.
    if (name === "title" && now !== null) {
      this.#title = now;
      this.removeAttribute("title");
    }
    if (!this.#line || before === now) return;
    if (name === "open") this.#shown();
    else if (name === "lang") this.#speak();
    else this.#build();
  }

  get open() {
    return this.hasAttribute("open");
  }

  set open(open) {
    this.toggleAttribute("open", open);
  }

  // Opens the chat and puts the focus into it; called by a person's click, never by itself.
  show() {
    this.#opener = document.activeElement;
    this.open = true;
    this.#composer.focus();
  }

  hide() {
    const inside = this.#root.activeElement;
    this.open = false;
    if (!inside) return;
    const opener = this.#opener;
    if (opener?.isConnected && opener !== this && opener !== document.body) opener.focus();
    else this.#parts.launch.focus();
  }

  // For buttons of the page around us: opens the chat and asks.
  ask(text) {
    this.show();
    this.#send({ text: String(text) });
  }

  say = (name, values = {}) => {
    const text = (name === "title" && this.#title) || this.#labels[name] || english[name] || "";
    return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
  };

  send = (message) => this.#send(message);
  choose = (button) => this.#send({ text: button.title, button: button.id });
  file = (id) => this.#line.file(id);

  // ---- words

  async #speak() {
    this.language = this.getAttribute("lang") || document.documentElement.lang || navigator.language || "en";
    this.#line.language = this.language;
    try {
      const { language, direction, labels, limits } = await this.#line.labels(this.language);
      this.language = this.#line.language = language;
      this.limits = limits;
      this.#labels = { ...english, ...labels };
      this.#build(direction);
    } catch {
      /* English until the city can be asked; the conversation itself does not need the words */
    }
  }

  // ---- the element

  // Until the city has said how the language is written, as the page around us is written.
  #build(direction = this.#parts.all?.dir || getComputedStyle(this).direction) {
    const words = this.#composer?.text || "";
    const focused = this.#root.activeElement?.getAttribute("name");
    const old = this.#parts;
    const { say } = this;
    const launch = make("button.launch", { type: "button", "aria-haspopup": "dialog", onclick: () => this.show() });
    const log = make("div.log", { role: "log", tabIndex: 0, "aria-label": say("title"), "aria-live": "off" });
    const typing = make("div.typing", { role: "status", "aria-live": "polite" });
    const status = make("div.bar", { role: "status", "aria-live": "polite", hidden: true });
    const jump = make("button.jump", { type: "button", hidden: true, onclick: () => this.#toEnd(true) }, icon("down"), say("new_messages"));
    const restart = make("div.bar", { hidden: true, role: "group", "aria-label": say("restart") },
      make("span", {}, `${say("restart")}?`),
      make("button", { type: "button", onclick: () => this.#restart() }, say("restart")),
      make("button", { type: "button", onclick: () => this.#askRestart(false) }, say("cancel")),
    );
    this.#composer = new Composer(this);
    this.#composer.limits(this.limits);
    const panel = make("section.panel", { role: "dialog", "aria-labelledby": "title", hidden: true },
      make("div.head", {},
        make("h2", { id: "title" }, say("title")),
        iconButton("button.tool", "restart", say("restart"), () => this.#askRestart(true)),
        iconButton("button.tool", "close", say("close"), () => this.hide()),
      ),
      restart, status, log,
      make("div.middle", {}, jump),
      typing,
      this.#composer.element,
    );
    const all = make("div.all", { lang: this.language, dir: direction }, launch, panel);
    this.#parts = { all, launch, panel, log, typing, status, jump, restart };
    panel.onkeydown = (event) => this.#key(event);
    log.onscroll = () => {
      // Only a person scrolls up; growing messages and our own smooth scrolling never do.
      if (this.#atEnd()) jump.hidden = this.#following = true;
      else if (log.scrollTop < this.#lastTop) this.#following = false;
      this.#lastTop = log.scrollTop;
    };
    const follow = () => this.#following && this.#toEnd();
    log.addEventListener("grown", follow);
    new ResizeObserver(follow).observe(log);
    panel.ondragover = (event) => event.preventDefault();
    panel.ondrop = (event) => {
      event.preventDefault();
      this.#composer.drop(event.dataTransfer.files);
    };
    this.#root.replaceChildren(all);
    this.#composer.text = words;
    this.#refill(old.log);
    this.#shown();
    if (focused === "message") this.#composer.focus();
  }

  #refill(old) {
    this.#lastDay = "";
    this.#mine.clear();
    this.#parts.log.append(this.#bubble({ from: "bot", text: this.say("welcome") }));
    if (old && this.#line.after) {
      // Other words, same conversation: everything is drawn again from the start.
      this.#line.stop();
      this.#line.after = 0;
      this.#line.start();
    }
    this.#filling = this.#line.hasSession;
    this.#parts.log.setAttribute("aria-live", this.#filling ? "off" : "polite");
    for (const item of this.#line.unsent) this.#draw(item);
  }

  #shown() {
    const { launch, panel } = this.#parts;
    const open = this.open;
    panel.hidden = !open;
    launch.hidden = open;
    if (open) {
      this.#unread = 0;
      this.#memory.set({ seen: this.#line.after });
      this.#fit();
      this.#toEnd();
    }
    this.#badge();
  }

  #badge() {
    const { launch } = this.#parts;
    const count = this.#unread ? make("span.count", { "aria-hidden": true }, String(this.#unread)) : null;
    launch.replaceChildren(icon("chat"), make("span", {}, this.say("title")), ...(count ? [count] : []));
    const news = count ? `, ${this.say("new_messages")}: ${this.#unread}` : "";
    launch.setAttribute("aria-label", `${this.say("title")} – ${this.say("open")}${news}`);
  }

  // Keeps the field above an on-screen keyboard where the chat fills the screen.
  #fit() {
    const { panel } = this.#parts;
    const view = window.visualViewport;
    const whole = matchMedia(WHOLE_SCREEN).matches;
    const shrunk = whole && view && Math.abs(view.scale - 1) < 0.01 && view.height < innerHeight - 1;
    panel.style.height = shrunk ? `${view.height}px` : "";
    panel.style.top = shrunk ? `${view.offsetTop}px` : "";
    if (whole) panel.setAttribute("aria-modal", "true");
    else panel.removeAttribute("aria-modal");
  }

  #key(event) {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      if (this.#parts.restart.hidden) this.hide();
      else this.#askRestart(false);
    } else if (event.key === "Tab" && matchMedia(WHOLE_SCREEN).matches) {
      // The page behind cannot be seen, so the focus must not wander off into it.
      const stops = [...this.#parts.panel.querySelectorAll("a[href], button, textarea, [tabindex='0']")].filter(
        (stop) => stop.offsetParent !== null && stop.tabIndex >= 0,
      );
      const [first, last] = [stops[0], stops.at(-1)];
      const here = this.#root.activeElement;
      if (event.shiftKey ? here === first : here === last) {
        event.preventDefault();
        (event.shiftKey ? last : first).focus();
      }
    }
  }

  // ---- the conversation

  #groups() {
    return [...this.#parts.log.querySelectorAll(".choices")];
  }

  #bubble(message) {
    return messageElement(message, this);
  }

  #send(message) {
    this.#parts.restart.hidden = true;
    this.#draw(this.#line.send(message));
    this.#toEnd(true);
  }

  // What this page sent, before and until the city has it.
  #draw(item) {
    const attachments = item.files?.map((file) => ({ name: file.name, mime: file.type, size: file.size, local: file }));
    const element = this.#bubble({ from: "citizen", text: item.text, attachments });
    if (item.files) {
      const bar = make("progress", { max: 1, value: 0, "aria-label": this.say("attach") });
      element.querySelector(".about").append(bar);
      item.onprogress = (share) => (bar.value = share);
    }
    this.#mine.get(item.client_id)?.remove();
    this.#mine.set(item.client_id, element);
    this.#parts.log.append(element);
  }

  #sent(item) {
    const element = this.#mine.get(item.client_id);
    element?.querySelector("progress")?.remove();
    if (!this.#offline) this.#status("");
  }

  #refused(item, answer) {
    const element = this.#mine.get(item.client_id);
    if (!element) return;
    const { characters, megabytes } = this.limits;
    const known = {
      too_large: this.say("too_large", { limit: megabytes }),
      unsupported_type: this.say("unsupported"),
      invalid: item.text?.length > characters && this.say("too_long", { limit: characters }),
    };
    const why = known[answer.error] || this.say(item.files ? "upload_failed" : "failed");
    element.classList.add("failed");
    const retry = make("button", { type: "button" }, this.say("retry"));
    retry.onclick = () => {
      element.remove();
      this.#line.again(item);
      this.#draw(item);
      this.#composer.focus();
    };
    element.querySelector(".about").replaceChildren(make("span.problem", {}, why), retry);
    if (item.button) reopen(this.#groups().at(-1));
    this.#status(why, 6000);
  }

  #arrived(messages) {
    const { log, jump } = this.#parts;
    const seen = this.#memory.get("seen") || 0;
    const stay = !this.#filling && !this.#following;
    let fromOthers = null;
    for (const message of messages) {
      const when = new Date(message.sent_at);
      const today = day(when, this.language);
      if (today !== this.#lastDay) {
        if (this.#lastDay || today !== day(new Date(), this.language)) log.append(make("div.day", {}, today));
        this.#lastDay = today;
      }
      const element = this.#bubble(message);
      if (message.from === "citizen") {
        if (this.#mine.has(message.client_id)) element.classList.add("calm");
        this.#mine.get(message.client_id)?.remove();
        this.#mine.delete(message.client_id);
        const group = this.#groups().at(-1);
        const titles = [...(group?.querySelectorAll(".choice") || [])].map((choice) => choice.textContent);
        if (titles.includes(message.text)) settle(group, message.text);
      } else {
        fromOthers ??= element;
        if (message.calls?.length && !this.#filling) element.setAttribute("role", "alert");
        // New choices replace the old ones: nobody should answer a question that has passed.
        if (message.buttons?.length) for (const group of this.#groups()) settle(group);
        if (message.seq > seen && !this.open) this.#unread += 1;
      }
      log.append(element);
    }
    // What is still on its way belongs below what has arrived.
    for (const element of this.#mine.values()) log.append(element);
    if (this.open) this.#memory.set({ seen: this.#line.after });
    this.#badge();
    if (stay && fromOthers) jump.hidden = false;
    else if (!this.#filling && fromOthers?.offsetHeight > log.clientHeight) {
      this.#following = false; // a long answer is read from its beginning
      log.scrollTop = fromOthers.offsetTop - 8;
    }
    else if (!stay) this.#toEnd();
    if (this.#filling) this.#filled(500);
  }

  // After the first batch has been put back in silence, what follows is news.
  #filled(after) {
    const { log } = this.#parts;
    setTimeout(() => {
      this.#filling = false;
      log.setAttribute("aria-live", "polite");
    }, after);
  }

  #typing(typing) {
    const { typing: line } = this.#parts;
    line.replaceChildren();
    if (typing) {
      line.append(make("span.dots", { "aria-hidden": true }, make("i"), make("i"), make("i")), make("span", {}, this.say("typing")));
    }
  }

  #connection(state) {
    if (state === "offline" && !this.#offline) this.#status(this.say("offline"));
    else if (state === "open" && this.#offline) this.#status(this.say("resumed"), 3000);
    this.#offline = state === "offline";
    if (state === "open" && this.#filling) this.#filled(1500); // there may be no history at all
  }

  #status(words, for_) {
    const { status } = this.#parts;
    clearTimeout(this.#parts.timer);
    status.textContent = words;
    status.hidden = !words;
    if (for_) this.#parts.timer = setTimeout(() => this.#status(this.#offline ? this.say("offline") : ""), for_);
  }

  #askRestart(ask) {
    const { restart } = this.#parts;
    restart.hidden = !ask;
    if (ask) restart.querySelector("button").focus();
    else this.#composer.focus();
  }

  #restart() {
    this.#line.forget();
    this.#emptied();
    this.#askRestart(false);
  }

  #emptied() {
    this.#unread = 0;
    this.#badge();
    this.#typing(false);
    this.#parts.log.replaceChildren();
    this.#refill();
  }

  #atEnd() {
    const { log } = this.#parts;
    return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  }

  #toEnd(smoothly) {
    const { log, jump } = this.#parts;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    log.scrollTo({ top: log.scrollHeight, behavior: smoothly && !calm ? "smooth" : "auto" });
    jump.hidden = this.#following = true;
  }
}

if (!customElements.get("city-chat")) customElements.define("city-chat", CityChat);
