// What every page of the desk can do: say things to everybody, keys, and what htmx could not do.
"use strict";

const desk = {
  me: document.body.dataset.me,
  title: document.title,

  /** Say something to whoever listens rather than looks; words are never markup. */
  say(words) {
    const place = document.getElementById("said");
    place.textContent = "";
    requestAnimationFrame(() => { place.textContent = words; });
  },

  /** Show that something went wrong until it is said otherwise or a while has passed. */
  trouble(words) {
    const place = document.getElementById("trouble");
    clearTimeout(desk.hide);
    place.textContent = words;
    place.hidden = !words;
    if (words) desk.hide = setTimeout(() => { place.hidden = true; }, 12000);
  },

  /** What this browser remembers of its owner's wishes; nothing about residents. */
  wish(name, value) {
    try {
      if (value !== undefined) localStorage.setItem(`desk.${name}`, value);
      return localStorage.getItem(`desk.${name}`);
    } catch {
      return null; // a browser that keeps nothing
    }
  },

  /** Show a count in the navigation; none is no badge. */
  count(name, number) {
    for (const badge of document.querySelectorAll(`[data-count="${name}"]`)) {
      badge.textContent = number > 999 ? "999+" : String(number);
      badge.hidden = !number;
    }
  },

  /** Show the counts, and in the title how many conversations need whoever sits here. */
  counts(found) {
    for (const [name, number] of Object.entries(found)) desk.count(name, number);
    const need = found.waiting + found.owed;
    document.title = `${found.danger ? "Danger " : ""}${need ? `(${need}) ` : ""}${desk.title}`;
  },

  /** Of one's own conversations in which danger waits for a word, those not told of yet. */
  alarms(ids) {
    const fresh = ids.filter((id) => !desk.alarmed.has(id));
    desk.alarmed = new Set(ids);
    return fresh;
  },
  alarmed: new Set(),

  /** Sound for whoever wants it. */
  ring() {
    if (desk.wish("sound") !== "on") return;
    desk.audio ??= new AudioContext();
    const tone = desk.audio.createOscillator();
    const loud = desk.audio.createGain();
    tone.frequency.value = 660;
    loud.gain.setValueAtTime(0.08, desk.audio.currentTime);
    loud.gain.exponentialRampToValueAtTime(0.001, desk.audio.currentTime + 0.35);
    tone.connect(loud).connect(desk.audio.destination);
    tone.start();
    tone.stop(desk.audio.currentTime + 0.35);
  },

  keys: new Map(), // what a key does: pages add theirs

  /** Whether somebody is writing, so that a letter is a letter. */
  writing(element) {
    return Boolean(element?.closest("input:not([type=checkbox]), textarea, select, [contenteditable]"));
  },
};

// Keys ----------------------------------------------------------------------------------------------

const dialog = document.getElementById("keys");
const keysOn = document.getElementById("keys-on");
keysOn.checked = desk.wish("keys") !== "off";
keysOn.addEventListener("change", () => desk.wish("keys", keysOn.checked ? "on" : "off"));

desk.keys.set("?", () => dialog.showModal());
desk.keys.set("/", () => go("/desk/search"));
desk.keys.set("g q", () => go("/desk"));
desk.keys.set("g m", () => go("/desk#mine-heading"));
desk.keys.set("g s", () => go("/desk/search"));

function go(path) {
  const field = path === "/desk/search" && document.getElementById("q");
  if (field) field.focus();
  else location.assign(path);
}

let before = "";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.open) return;
  if (desk.writing(event.target)) return;
  const letter = event.key.length === 1;
  if (letter && !keysOn.checked && event.key !== "?") return;
  const both = desk.keys.get(`${before} ${event.key}`);
  const does = both ?? desk.keys.get(event.key);
  before = letter && !both ? event.key : "";
  if (does && does(event) !== false) event.preventDefault();
});

// What a wide screen shows unfolded -----------------------------------------------------------------

if (!CSS.supports("selector(::details-content)") && matchMedia("(min-width: 40.01rem)").matches) {
  for (const fold of document.querySelectorAll(".unfolds")) fold.open = true;
}

// htmx ----------------------------------------------------------------------------------------------

document.addEventListener("htmx:config:request", (event) => {
  // What cannot be done is told in words, not as another page inside this one.
  event.detail.ctx.request.headers.Accept = "application/json, text/html";
});

document.addEventListener("htmx:response:error", (event) => {
  const { raw, status } = event.detail.ctx.response;
  if (status === 401) return location.reload(); // signed out: the page leads to the door
  let words = "That did not work. Please try again.";
  try {
    words = JSON.parse(event.detail.ctx.text).reason || words;
  } catch { /* not ours: a proxy's page */ }
  desk.trouble(words);
});

document.addEventListener("htmx:error", (event) => {
  console.info("desk", event.detail.error);
  desk.trouble("The line does not answer. What you did may not have been done: please look again.");
});

// Counts --------------------------------------------------------------------------------------------

const COUNTED = 30000; // milliseconds; the queue itself is live

/** How many wait, are mine, name me and need me, where no stream of the queue tells it; in the background as well. */
desk.look = async () => {
  try {
    const answer = await fetch("/desk/counts", { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { alarms, ...found } = await answer.json();
    desk.counts(found);
    const seen = !document.hidden && location.pathname; // whoever looks at it needs no alarm
    if (!desk.alarms(alarms).some((id) => seen !== `/desk/c/${id}`)) return;
    desk.trouble("Somebody whom you answer may be in danger and waits for your word: first under Mine.");
    desk.ring();
  } catch (error) {
    console.info("desk", error); // the line is away: the next look tells
  }
};

if (!("live" in document.body.dataset)) {
  desk.look();
  document.addEventListener("visibilitychange", () => document.hidden || desk.look());
}
setInterval(() => desk.live?.() || desk.look(), COUNTED);

window.desk = desk;
