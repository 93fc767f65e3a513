// One conversation on the screen: live lines, the field to answer in, and the keys for both.
"use strict";

const talk = {
  root: document.getElementById("talk"),
  scroll: document.getElementById("scroll"),
  lines: document.getElementById("lines"),
  newer: document.getElementById("newer"),
  at: (id) => document.getElementById(id),
};

// The history ---------------------------------------------------------------------------------------

const NEAR = 80; // pixels from the end that still count as reading the newest

function atEnd() {
  const { scrollHeight, scrollTop, clientHeight } = talk.scroll;
  return scrollHeight - scrollTop - clientHeight < NEAR;
}

function toEnd() {
  talk.scroll.scrollTop = talk.scroll.scrollHeight;
  talk.newer.hidden = true;
}

function jump(id) {
  const line = id && talk.at(id);
  if (!line) return false;
  for (const other of document.querySelectorAll(".line.found")) other.classList.remove("found");
  line.classList.add("found");
  line.scrollIntoView({ block: "center" });
  line.focus({ preventScroll: true });
  return true;
}

if (!jump(location.hash.slice(1))) toEnd();
// Pictures come later than the lines they belong to, and push the newest out of sight.
talk.lines.addEventListener("load", () => { if (talk.following) toEnd(); }, true);
talk.following = atEnd();
talk.scroll.addEventListener("scroll", () => {
  talk.following = atEnd();
  if (talk.following) talk.newer.hidden = true;
}, { passive: true });
talk.newer.addEventListener("click", () => {
  toEnd();
  talk.lines.lastElementChild?.focus({ preventScroll: true });
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-jump]");
  if (link && jump(link.dataset.jump)) event.preventDefault();
});

document.addEventListener("htmx:before:swap", (event) => {
  const { ctx, tasks } = event.detail;
  talk.following = atEnd(); // now, not when the last scrolling was told of
  for (const task of tasks) {
    keep(task.fragment, ctx.sent);
    // A stream that was interrupted may bring a line again.
    if (task.target === talk.lines) {
      for (const line of task.fragment.querySelectorAll("li[id]")) {
        if (talk.at(line.id)) line.remove();
      }
      if (!task.fragment.querySelector("li[id]")) task.fragment.replaceChildren();
      talk.arrived = [...task.fragment.querySelectorAll(".line.citizen")];
    }
  }
  if (ctx.sourceElement?.closest?.("#older")) {
    talk.before = talk.scroll.scrollHeight - talk.scroll.scrollTop;
  }
});

document.addEventListener("htmx:after:swap", (event) => {
  const source = event.detail.ctx.sourceElement;
  if (talk.before !== undefined) {
    talk.scroll.scrollTop = talk.scroll.scrollHeight - talk.before;
    talk.before = undefined;
    talk.at("older")?.querySelector("a")?.focus({ preventScroll: true });
  } else if (talk.following) {
    toEnd();
  } else if (talk.arrived?.length) {
    talk.newer.hidden = false;
  }
  if (talk.arrived?.length) {
    const last = talk.arrived.at(-1);
    const who = last.querySelector("strong")?.textContent ?? "";
    desk.say(`${who}: ${last.querySelector(".words")?.textContent ?? "sent something"}`);
  }
  if (talk.arrived) desk.look(); // a word that came or left changes who needs one
  talk.arrived = undefined;
  if (source?.matches?.("#reply, .held, #composer")) toItsEnd(talk.at("words"));
  if (source?.matches?.("#note")) talk.at("note-words")?.focus();
  const told = talk.at("told")?.textContent.trim();
  if (told && told !== talk.told) desk.say(told);
  talk.told = told;
  for (const opened of document.querySelectorAll(".act[open]")) {
    if (opened.contains(source)) opened.open = false;
  }
  dress();
  count();
});

// htmx looks through the page on a timer of its own, which may run before its extension has come: then
// nothing listens to the stream. This timer was set later, so it runs later.
setTimeout(() => {
  const live = talk.at("live");
  if (live && !live._htmx) htmx.process(live);
});

talk.at("live")?.addEventListener("over", () => {
  desk.trouble("You are signed out, or this conversation is not yours to see any more. Please load the page anew.");
});

// What is about to leave ----------------------------------------------------------------------------

const leaves = new WeakMap(); // a held reply: when it leaves, by this computer's clock

function count() {
  let any = false;
  for (const held of document.querySelectorAll(".held")) {
    any = true;
    if (!leaves.has(held)) leaves.set(held, performance.now() + Number(held.dataset.seconds) * 1000);
    const left = Math.ceil((leaves.get(held) - performance.now()) / 1000);
    held.querySelector(".left").textContent = left > 0 ? `leaves in ${left} s` : "leaving …";
    const undo = held.querySelector(".undo");
    if (undo) undo.disabled = left <= 0;
  }
  clearTimeout(count.again);
  if (any) count.again = setTimeout(count, 250);
}

function undo() {
  const button = [...document.querySelectorAll(".held .undo:not([disabled])")].at(-1);
  button?.click();
  return Boolean(button);
}

// Writing -------------------------------------------------------------------------------------------

function choose(name, focus) {
  const composer = talk.at("composer");
  if (!composer?.querySelector("[role=tablist]")) return;
  composer.dataset.tab = name;
  for (const tab of composer.querySelectorAll("[role=tab]")) {
    const chosen = tab.dataset.tab === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    const panel = talk.at(tab.getAttribute("aria-controls"));
    panel.hidden = !chosen;
  }
  if (focus) talk.at(name === "note" ? "note-words" : "words")?.focus();
}

/** Give new pieces of the page what only script can. */
function dress() {
  const composer = talk.at("composer");
  const tabs = composer?.querySelector("[role=tablist]");
  if (tabs?.hidden) {
    tabs.hidden = false;
    for (const id of ["tab-panel-reply", "tab-panel-note"]) {
      talk.at(id).setAttribute("role", "tabpanel");
      talk.at(id).setAttribute("aria-labelledby", id.replace("panel-", ""));
    }
    choose(composer.dataset.tab || "reply");
  }
}

document.addEventListener("htmx:before:request", (event) => {
  const { ctx } = event.detail;
  // A draft behind its own reply would bring back what was sent.
  if (ctx.sourceElement?.id === "draft" && talk.reply?.status === "issuing") return event.preventDefault();
  if (ctx.sourceElement?.id === "reply") {
    talk.reply = ctx;
    talk.at("draft").dispatchEvent(new Event("htmx:abort"));
  }
  const field = talk.at({ composer: "words", note: "note-words" }[ctx.target?.id]);
  if (field) ctx.sent = { field, words: field.value };
});

/** Keep what was typed while an answer was on its way, and in the fields that were not sent. */
function keep(fragment, sent) {
  for (const coming of fragment.querySelectorAll("textarea[id]")) {
    const field = talk.at(coming.id);
    if (!field) continue;
    const gone = sent?.field === field && field.value.startsWith(sent.words) ? sent.words.length : 0;
    const more = field.value.slice(gone);
    coming.value += coming.value ? more : more.trimStart();
  }
}

function toItsEnd(field) {
  if (!field) return;
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
  if (field.value) field.dispatchEvent(new Event("input", { bubbles: true })); // a draft, and what it costs
}

/** Put words where the cursor is, so that the browser can take them out again. */
function insert(words) {
  const field = talk.at("words");
  choose("reply", true);
  const { selectionStart: start, selectionEnd: end, value } = field;
  const before = start && !/\s$/.test(value.slice(0, start)) ? "\n\n" : "";
  field.setRangeText(before + words, start, end, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) return choose(tab.dataset.tab, true);
  const offered = event.target.closest("[data-insert]");
  if (offered) {
    event.preventDefault();
    insert(offered.dataset.insert);
    const list = offered.closest("#canned");
    if (list) list.open = false;
  }
});

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-find]")) find(event.target);
});

function find(field) {
  const wanted = field.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  let any = false;
  for (const item of document.querySelectorAll("#canned-list > li")) {
    const words = item.textContent.toLocaleLowerCase();
    item.hidden = !wanted.every((word) => words.includes(word));
    any ||= !item.hidden;
  }
  talk.at("canned-none").hidden = any;
}

document.addEventListener("toggle", (event) => {
  if (event.target.id === "canned" && event.target.open) talk.at("canned-find").focus();
}, true);

document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (event.isComposing) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && field.matches?.("#words, #note-words")) {
    event.preventDefault();
    field.form.requestSubmit();
  } else if (event.key === "Escape" && !event.defaultPrevented) {
    const open = field.closest?.("details[open].act, #canned[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    } else if (undo()) {
      event.preventDefault();
    }
  } else if (field.id === "canned-find" && (event.key === "Enter" || event.key === "ArrowDown")) {
    event.preventDefault();
    const first = document.querySelector("#canned-list > li:not([hidden]) button");
    if (event.key === "Enter") first?.click();
    else first?.focus();
  } else if (field.closest?.("#canned-list") && /^Arrow(Up|Down)$/.test(event.key)) {
    event.preventDefault();
    const shown = [...document.querySelectorAll("#canned-list > li:not([hidden]) button")];
    const next = shown.indexOf(field) + (event.key === "ArrowDown" ? 1 : -1);
    (shown[next] ?? talk.at("canned-find")).focus();
  } else if (field.matches?.("[role=tab]") && /^Arrow(Left|Right)$/.test(event.key)) {
    const other = field.dataset.tab === "note" ? "reply" : "note";
    choose(other);
    talk.at(`tab-${other}`).focus();
  }
});

// Naming a colleague --------------------------------------------------------------------------------

const mention = { list: null, chosen: 0 };

function named(field) {
  return /(?:^|[^\p{L}\p{N}_])@([\p{L}\p{N} .'-]{0,40})$/u.exec(field.value.slice(0, field.selectionStart));
}

function offer(field) {
  const begun = named(field);
  const names = (field.form.dataset.colleagues || "").split("\n").filter(Boolean);
  const fitting = begun
    ? names.filter((name) => name.toLocaleLowerCase().startsWith(begun[1].toLocaleLowerCase())).slice(0, 8)
    : [];
  if (!fitting.length || fitting.includes(begun[1])) return close(field);
  if (!mention.list) {
    mention.list = document.createElement("ul");
    mention.list.id = "mention-list";
    mention.list.className = "mention-list";
    mention.list.setAttribute("role", "listbox");
    mention.list.setAttribute("aria-label", "Colleagues");
  }
  mention.list.replaceChildren(...fitting.map((name, index) => {
    const item = document.createElement("li");
    item.id = `mention-${index}`;
    item.setAttribute("role", "option");
    item.textContent = name;
    item.addEventListener("mousedown", (event) => {
      event.preventDefault();
      take(field, name);
    });
    return item;
  }));
  field.after(mention.list);
  field.setAttribute("aria-controls", "mention-list");
  point(field, 0);
}

function point(field, index) {
  const items = [...mention.list.children];
  mention.chosen = (index + items.length) % items.length;
  items.forEach((item, place) => item.setAttribute("aria-selected", String(place === mention.chosen)));
  field.setAttribute("aria-activedescendant", items[mention.chosen].id);
}

function close(field) {
  mention.list?.remove();
  field.removeAttribute("aria-activedescendant");
  field.removeAttribute("aria-controls");
}

function take(field, name) {
  const begun = named(field);
  const end = field.selectionStart;
  field.setRangeText(`${name} `, end - begun[1].length, end, "end");
  close(field);
  field.focus();
}

document.addEventListener("input", (event) => {
  if (event.target.id === "note-words") offer(event.target);
});
document.addEventListener("focusout", (event) => {
  if (event.target.id === "note-words") close(event.target);
});
document.addEventListener("keydown", (event) => {
  if (event.target.id !== "note-words" || !mention.list?.isConnected) return;
  if (event.ctrlKey || event.metaKey) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) point(event.target, mention.chosen + step);
  else if (event.key === "Enter" || event.key === "Tab") {
    take(event.target, mention.list.children[mention.chosen].textContent);
  } else if (event.key === "Escape") close(event.target);
  else return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);

// Keys ----------------------------------------------------------------------------------------------

const composer = () => talk.at("composer")?.querySelector("[role=tablist]");
desk.keys.set("r", () => composer() ? choose("reply", true) : false);
desk.keys.set("n", () => composer() ? choose("note", true) : false);
desk.keys.set("c", () => {
  const canned = talk.at("canned");
  if (!canned) return false;
  choose("reply");
  canned.open = true;
});
desk.keys.set("t", () => {
  const button = talk.at("do-claim");
  if (!button) return false;
  button.click();
});

dress();
count();
