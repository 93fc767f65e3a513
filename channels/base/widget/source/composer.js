// Where the resident writes: words, files, a counter near the limit.
import { icon } from "./icons.js";
import { iconButton, make } from "./make.js";
import { size } from "./message.js";
import { looksPrivate } from "./private.js";

export class Composer {
  #chat;
  #files = [];
  #field;
  #under;
  #counter;
  #problem;
  #doubt;
  #chosen;
  #picker;
  element;

  // chat: {say(label), language, limits, send({text, files})}
  constructor(chat) {
    this.#chat = chat;
    const { say } = chat;
    this.#field = make("textarea", {
      rows: 1, name: "message", placeholder: say("placeholder"), dir: "auto", enterKeyHint: "send",
      "aria-label": say("input_label"), "aria-describedby": "under",
    });
    this.#counter = make("span");
    this.#problem = make("span.problem", { role: "alert" });
    this.#under = make("div.under", { id: "under" }, this.#problem, this.#counter);
    // Asked, and never decided for the resident: what looks like a card number may be a meter's.
    this.#doubt = make("div.bar.doubt", { hidden: true, role: "group", "aria-labelledby": "doubt" });
    this.#chosen = make("div.chosen", { hidden: true });
    this.#picker = make("input", { type: "file", multiple: true, hidden: true, tabIndex: -1 });
    this.#picker.onchange = () => {
      this.#take(this.#picker.files);
      this.#picker.value = "";
      this.focus();
    };
    this.element = make("form", {}, this.#doubt, this.#chosen,
      make("div.row", {},
        iconButton("button.tool", "attach", say("attach"), () => this.#picker.click()),
        this.#picker,
        this.#field,
        make("button.tool.send", { type: "submit", title: say("send"), "aria-label": say("send") }, icon("send")),
      ),
      this.#under,
    );
    this.element.onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    this.#field.oninput = () => {
      this.#doubt.hidden = true;
      this.#measure();
    };
    this.#doubt.onkeydown = (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#change();
    };
    this.#field.onkeydown = (event) => {
      // While a Chinese or Japanese word is being composed, Enter chooses it and sends nothing.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    };
    this.#field.onpaste = (event) => {
      if (!event.clipboardData?.files.length) return;
      event.preventDefault();
      this.#take(event.clipboardData.files);
    };
    this.#measure();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  get text() {
    return this.#field.value;
  }

  set text(text) {
    this.#field.value = text;
    this.#measure();
  }

  limits({ types }) {
    this.#picker.accept = types.join(",");
  }

  drop(files) {
    this.#take(files);
  }

  #tell(problem) {
    this.#problem.textContent = problem;
    this.#under.hidden = !problem && !this.#counter.textContent;
  }

  #measure() {
    const { characters } = this.#chat.limits;
    const length = [...this.#field.value].length;
    const over = length > characters;
    this.#counter.textContent = length > 0.8 * characters ? `${length} / ${characters}` : "";
    this.#field.setAttribute("aria-invalid", over);
    this.#tell(over ? this.#chat.say("too_long", { limit: characters }) : "");
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight + 2}px`;
    return !over;
  }

  #take(list) {
    const { megabytes, files, types } = this.#chat.limits;
    const problems = new Set();
    for (const file of list) {
      const total = this.#files.reduce((sum, { size }) => sum + size, file.size);
      if (file.type && types.length && !types.includes(file.type) && !/^(audio|image)\//.test(file.type)) {
        problems.add(this.#chat.say("unsupported"));
      } else if (this.#files.length >= files) problems.add(this.#chat.say("too_many", { limit: files }));
      else if (total > megabytes * 1e6) problems.add(this.#chat.say("too_large", { limit: megabytes }));
      else this.#files.push(file);
    }
    this.#showFiles();
    this.#tell([...problems].join(" "));
  }

  #showFiles() {
    const { say, language } = this.#chat;
    this.#chosen.hidden = !this.#files.length;
    this.#chosen.replaceChildren(
      ...this.#files.map((file) => {
        const remove = iconButton("button.tool", "close", `${say("cancel")}: ${file.name}`, () => {
          this.#files = this.#files.filter((other) => other !== file);
          this.#showFiles();
          this.focus();
        });
        const picture = file.type.startsWith("image/") ? make("img", { alt: "" }) : icon("file");
        if (picture.tagName === "IMG") {
          picture.src = URL.createObjectURL(file);
          picture.onload = picture.onerror = (event) => {
            URL.revokeObjectURL(picture.src);
            if (event.type === "error") picture.replaceWith(icon("file"));
          };
        }
        return make("div.file", {}, picture, make("span", { dir: "auto" }, `${file.name} (${size(file.size, language)})`), remove);
      }),
    );
  }

  #ask() {
    const { say } = this.#chat;
    const change = make("button", { type: "button", onclick: () => this.#change() }, say("change"));
    this.#doubt.replaceChildren(
      make("span", { id: "doubt", role: "alert" }, say("sensitive")),
      change,
      make("button", { type: "button", onclick: () => this.#submit(true) }, say("send_anyway")),
    );
    this.#doubt.hidden = false;
    change.focus();
  }

  #change() {
    this.#doubt.hidden = true;
    this.focus();
  }

  #submit(anyway = false) {
    const text = this.#field.value.trim();
    if (!this.#measure() || (!text && !this.#files.length)) return;
    if (!anyway && looksPrivate(text)) {
      this.#ask();
      return;
    }
    if (anyway) this.#change();
    const files = this.#files;
    this.#files = [];
    this.#showFiles();
    this.text = "";
    this.#chat.send({ text, ...(files.length && { files }) });
  }
}
