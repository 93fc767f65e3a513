// The queue as it changes: lines come, move and go in place, and whoever reads or writes is not disturbed.
"use strict";

(() => {
  const board = document.getElementById("board");
  const filters = document.getElementById("filters");
  const names = ["mine", "snoozed", "colleagues", "waiting"];
  const lists = Object.fromEntries(names.map((name) => [name, document.getElementById(name)]));
  let query = board.dataset.query;
  let ahead = Date.parse(board.dataset.now) - Date.now(); // the city's clock against this one's
  let known = new Set(ids("waiting"));

  // Lists -----------------------------------------------------------------------------------------

  function ids(name) {
    return [...lists[name].children].map((line) => line.dataset.id);
  }

  function made(html) {
    const holder = document.createElement("template");
    holder.innerHTML = html; // from our own server, where everything a resident wrote was escaped
    return holder.content.querySelector("li");
  }

  /** The line whose link or button has the focus, and which of them it is. */
  function focused() {
    const line = document.activeElement?.closest?.(".talk");
    return line && { id: line.dataset.id, button: document.activeElement.tagName === "BUTTON", line };
  }

  /** Put what changed on the screen. What stays is not touched: no focus is lost, nothing jumps. */
  function apply(news) {
    if (!news?.lists) return;
    ahead = Date.parse(news.now) - Date.now();
    const held = focused();
    const top = held?.line.getBoundingClientRect().top;
    let missing = false;
    for (const [id, html] of Object.entries(news.rows)) {
      const fresh = made(html);
      const old = document.getElementById(`t-${id}`);
      if (old) old.replaceWith(fresh);
      else lists.waiting.append(fresh);
      if (!old) fresh.classList.add("fresh");
    }
    for (const name of names) {
      let place = lists[name].firstElementChild;
      for (const id of news.lists[name]) {
        const line = document.getElementById(`t-${id}`);
        if (!line) { missing = true; continue; }
        if (line === place) place = place.nextElementSibling;
        else lists[name].insertBefore(line, place);
      }
    }
    const wanted = new Set(names.flatMap((name) => news.lists[name]));
    for (const line of document.querySelectorAll(".talk")) if (!wanted.has(line.dataset.id)) line.remove();
    if (held) keep(held, top);
    counts(news);
    tick();
    if (missing) refresh(); // this screen and the line's memory of it differ
    tell(news);
  }

  /** Leave the focus where it was, and the line under it at its height on the screen. */
  function keep(held, top) {
    const line = document.getElementById(`t-${held.id}`);
    if (!line) {
      const next = lists.waiting.querySelector(".open");
      if (!document.activeElement || document.activeElement === document.body) {
        (next ?? document.getElementById("waiting-heading")).focus({ preventScroll: true });
      }
      return;
    }
    if (!line.contains(document.activeElement)) {
      ((held.button && line.querySelector("button")) || line.querySelector(".open")).focus({ preventScroll: true });
    }
    const moved = line.getBoundingClientRect().top - top;
    if (Math.abs(moved) > 1) scrollBy({ top: moved, behavior: "instant" });
  }

  function counts(news) {
    desk.counts(news.counts);
    for (const name of ["snoozed", "colleagues"]) {
      document.querySelector(`[data-count-words="${name}"]`).textContent = String(news.counts[name]);
    }
    const found = document.getElementById("found");
    found.textContent = news.found;
    found.hidden = !news.found;
    const more = document.getElementById("more");
    more.hidden = !news.more;
    more.firstElementChild.href = `/desk?${news.more}`;
    for (const [name, options] of Object.entries(news.facets)) choices(filters.elements[name], options);
  }

  /** What a filter offers; not while somebody chooses from it. */
  function choices(select, options) {
    if (select === document.activeElement) return;
    const chosen = select.value;
    const all = [new Option("all", ""), ...options.map(([value, words, count]) => new Option(`${words} (${count})`, value))];
    const same = all.length === select.length && all.every((option, at) => option.text === select.options[at].text);
    if (same) return;
    select.replaceChildren(...all);
    select.value = chosen;
  }

  // Who came ---------------------------------------------------------------------------------------

  /** Say who is new in the queue or in danger at one's own desk: in words, and by a sound for whoever wants one. */
  function tell({ alarms, lists: { waiting } }) {
    const danger = desk.alarms(alarms).find((id) => !known.has(id)); // not what was just claimed
    const came = filtering ? [] : waiting.filter((id) => !known.has(id));
    known = new Set(waiting);
    filtering = false;
    if (danger) desk.trouble(told(danger, "waits for your word"));
    if (came.length) desk.say(came.length === 1 ? told(came[0], "waits") : `${came.length} more wait`);
    if (danger || came.length) desk.ring();
  }
  let filtering = false;

  function told(id, waits) {
    const line = document.getElementById(`t-${id}`);
    const why = line?.querySelector(".why")?.innerText.replace(/\s+/g, " ").trim();
    return `${line?.dataset.name ?? "Somebody"} ${waits}${why ? `: ${why}` : ""}`;
  }

  const sound = document.getElementById("sound");
  sound.checked = desk.wish("sound") === "on";
  sound.addEventListener("change", () => {
    desk.wish("sound", sound.checked ? "on" : "off");
    desk.ring();
  });

  // Time that goes on --------------------------------------------------------------------------------

  function tick() {
    for (const time of document.querySelectorAll("time.ago")) {
      const minutes = Math.max(0, Math.floor((Date.now() + ahead - Date.parse(time.dateTime)) / 60000));
      const hours = Math.floor(minutes / 60);
      const days = Math.floor(hours / 24);
      const words = days ? `${days} d ${hours % 24} h` : hours ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
      if (time.textContent !== words) time.textContent = words;
    }
  }
  setInterval(tick, 5000);

  // The stream ---------------------------------------------------------------------------------------

  const link = document.getElementById("link");
  const SILENT = 40000; // milliseconds: the stream says every 15 s that it is alive
  const ASK = 5000;
  let stream;
  let heard = 0;
  let asking;
  desk.live = () => Boolean(stream);

  function state(words, lost = false) {
    link.textContent = words;
    link.classList.toggle("lost", lost);
  }

  function connect() {
    stream?.close();
    stream = new EventSource(`/desk/events?${query}`);
    const on = (event) => { heard = Date.now(); clearInterval(asking); asking = undefined; state("live"); return event; };
    stream.addEventListener("open", on);
    stream.addEventListener("beat", on);
    stream.addEventListener("queue", (event) => apply(JSON.parse(on(event).data)));
    stream.addEventListener("end", () => location.reload()); // signed out, or with other rights
    stream.addEventListener("error", () => { if (!asking) ask(); });
  }

  /** While no stream comes through, look every few seconds. */
  function ask() {
    state("not live, looking every 5 seconds", true);
    asking = setInterval(refresh, ASK);
  }

  async function refresh() {
    try {
      const answer = await fetch(`/desk/lists?${query}`, { headers: { Accept: "application/json" } });
      if (answer.status === 401) return location.reload();
      if (answer.ok) apply(await answer.json());
      if (stream?.readyState === EventSource.CLOSED) connect(); // it gave up; the line answers again
    } catch {
      state("no connection to the line", true);
    }
  }

  setInterval(() => {
    if (stream && stream.readyState === EventSource.OPEN && Date.now() - heard > SILENT) connect();
  }, 10000);

  // A browser opens six connections to a site at most: of the pages nobody looks at, one keeps its stream.
  let letGo;
  function hidden() {
    if (!navigator.locks) return;
    stream?.close();
    stream = undefined;
    navigator.locks.request("desk-stream", { ifAvailable: true }, (lock) => {
      if (!lock || !document.hidden) return undefined;
      connect();
      return new Promise((free) => { letGo = free; });
    });
  }
  function shown() {
    letGo?.();
    letGo = undefined;
    if (!stream) connect();
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? hidden() : shown()));
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  addEventListener("pagehide", () => { stream?.close(); stream = undefined; });

  // Filters --------------------------------------------------------------------------------------------

  filters.addEventListener("submit", (event) => {
    event.preventDefault();
    narrow();
  });
  filters.addEventListener("change", (event) => { if (event.target.tagName === "SELECT") narrow(); });

  function narrow() {
    const given = [...new FormData(filters)].filter(([, value]) => value);
    query = new URLSearchParams(given).toString();
    history.replaceState(null, "", query ? `/desk?${query}` : "/desk");
    filtering = true;
    connect();
  }

  // Claiming -------------------------------------------------------------------------------------------

  document.addEventListener("submit", (event) => {
    if (!event.target.matches(".claim")) return;
    event.preventDefault();
    claim(event.target.closest(".talk"));
  });

  /** Take a conversation: at once to the eye, for good only once the line says so. */
  async function claim(line) {
    const form = line?.querySelector(".claim");
    if (!form || line.getAttribute("aria-busy")) return;
    const name = line.dataset.name;
    const button = form.querySelector("button");
    line.setAttribute("aria-busy", "true");
    button.firstChild.textContent = "Taking…";
    let answer;
    try {
      answer = await fetch(form.action, { method: "POST", headers: { Accept: "application/json" } });
    } catch {
      desk.trouble("The line does not answer: nobody knows yet whether the conversation is yours.");
    }
    line.removeAttribute("aria-busy");
    if (answer?.ok) {
      const held = focused();
      form.remove();
      if (line.isConnected && line.parentElement === lists.waiting) lists.mine.append(line);
      if (held?.line === line) line.querySelector(".open").focus();
      desk.say(`You have taken ${name}. Press Enter to open it.`);
      return;
    }
    button.firstChild.textContent = "Claim";
    if (answer?.status === 401) return location.reload();
    if (answer) {
      const told = await answer.json().catch(() => ({}));
      desk.trouble(`${name}: ${told.reason ?? "that did not work."}`);
    }
    refresh();
  }

  // Keys -----------------------------------------------------------------------------------------------

  function step(by) {
    const all = [...document.querySelectorAll(".talk .open")].filter((open) => open.checkVisibility?.() ?? true);
    const at = all.indexOf(document.activeElement?.closest?.(".talk")?.querySelector(".open"));
    const first = all.indexOf(lists.waiting.querySelector(".open"));
    const next = at < 0 ? (first < 0 ? 0 : first) : Math.min(all.length - 1, Math.max(0, at + by));
    if (!all[next]) return false;
    all[next].focus();
    all[next].closest(".talk").scrollIntoView({ block: "nearest" });
    return true;
  }
  desk.keys.set("j", () => step(1));
  desk.keys.set("k", () => step(-1));
  desk.keys.set("ArrowDown", () => focused() && step(1));
  desk.keys.set("ArrowUp", () => focused() && step(-1));
  desk.keys.set("c", () => claim(focused()?.line ?? lists.waiting.firstElementChild));
  desk.keys.set("n", () => sound.click());
  desk.keys.set("g m", () => {
    (lists.mine.querySelector(".open") ?? document.getElementById("mine-heading")).focus();
  });

  tick();
  if (document.hidden) hidden();
  else connect();
})();
