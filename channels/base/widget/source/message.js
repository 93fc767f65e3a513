// One message as the resident sees it. What others wrote enters as text nodes only.
import { icon } from "./icons.js";
import { link, linked } from "./links.js";
import { make } from "./make.js";

const SHOWN = /^image\/(jpeg|png|gif|webp|avif)$/;

export function clock(when, language) {
  return new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(when);
}

export function day(when, language) {
  return new Intl.DateTimeFormat(language, { dateStyle: "full" }).format(when);
}

export function size(bytes, language) {
  const [value, unit] = bytes < 1e6 ? [Math.max(1, bytes / 1e3), "kilobyte"] : [bytes / 1e6, "megabyte"];
  return new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: unit === "megabyte" ? 1 : 0 }).format(value);
}

// chat: {say(label), language, choose(message, button), file(id)}
export function messageElement(message, chat) {
  const author = message.from;
  const bubble = make("div.bubble");
  const about = make("div.about");
  const alarm = message.calls?.length > 0;
  const element = make(`div.message.${author}${alarm ? ".alarm" : ""}`, {}, bubble, about);
  const names = { citizen: "you", bot: "assistant", agent: "agent", system: "system" };
  bubble.append(make("span.hidden", {}, `${chat.say(names[author] || "system")}: `));
  if (message.text) bubble.append(make("div.text", { dir: "auto" }, linked(message.text, message.calls)));
  if (message.attachments?.length) bubble.append(fileList(message.attachments, chat));
  if (message.sources?.length) bubble.append(sourceList(message.sources, chat));
  if (message.buttons?.length) about.before(choices(message, chat));
  if (author === "agent") about.append(make("span", {}, chat.say("agent")));
  if (message.sent_at) {
    const when = new Date(message.sent_at);
    about.append(make("time", { dateTime: message.sent_at }, clock(when, chat.language)));
  }
  return element;
}

function sourceList(sources, chat) {
  const items = sources.map(({ title, url }) => {
    const a = link(url, title || url);
    if (a.nodeType === Node.ELEMENT_NODE) a.dir = "auto";
    return make("li", {}, a);
  });
  return make("div.sources", {}, make("p", {}, chat.say("sources")), make("ul", { role: "list" }, ...items));
}

function choices(message, chat) {
  const group = make("div.choices", { role: "group", "aria-label": message.text });
  for (const button of message.buttons) {
    const choice = make("button.choice", { type: "button", dir: "auto" }, button.title);
    choice.onclick = () => {
      // aria-disabled and not disabled: a choice made by keyboard keeps the focus where it was.
      if (choice.getAttribute("aria-disabled") === "true") return;
      settle(group, button.title);
      chat.choose(button);
    };
    group.append(choice);
  }
  return group;
}

// Shows what was chosen, and that choosing is over.
export function settle(group, title) {
  let found = false;
  for (const choice of group.querySelectorAll(".choice:not([aria-disabled])")) {
    choice.setAttribute("aria-disabled", "true");
    const chosen = !found && choice.textContent === title;
    choice.setAttribute("aria-pressed", chosen);
    if (chosen) choice.prepend(icon("check"));
    found ||= chosen;
  }
}

// Opens the choices again: the press did not reach the city.
export function reopen(group) {
  for (const choice of group?.querySelectorAll(".choice") || []) {
    choice.removeAttribute("aria-disabled");
    choice.removeAttribute("aria-pressed");
    choice.querySelector("svg")?.remove();
  }
}

function fileList(attachments, chat) {
  return make("div.files", {}, ...attachments.map((attachment) => fileButton(attachment, chat)));
}

function fileButton({ id, name, mime, size: bytes, local }, chat) {
  const label = make("span", { dir: "auto" }, bytes ? `${name} (${size(bytes, chat.language)})` : name);
  const button = make("button.file", { type: "button" }, icon("file"), label);
  const load = async () => local || chat.file(id);
  button.onclick = async () => {
    const file = await load().catch(() => null);
    if (file) save(file, name);
  };
  if (SHOWN.test(mime)) picture(button, load, name);
  return button;
}

// A page whose policy forbids blob images keeps the name and the download.
function picture(button, load, name) {
  load().then(
    (file) => {
      const image = make("img", { alt: name });
      image.onload = () => {
        URL.revokeObjectURL(image.src);
        button.replaceChildren(image);
        button.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
      };
      image.onerror = () => URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(file);
    },
    () => {},
  );
}

function save(file, name) {
  const url = URL.createObjectURL(file);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
