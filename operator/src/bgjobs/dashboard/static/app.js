// The pages work without this. It counts times on, keeps the page current, copies, and has keys.
"use strict";

const EVERY_MS = 3000;
const ANSWERS_WITHIN_MS = 60000;
const SCROLLS = ".scroll, pre";
const skew = Date.parse(document.documentElement.dataset.now) - Date.now();
const status = document.getElementById("live");
const pause = document.getElementById("pause");
let etag = "";
let paused = false;
let isAsked = false;

// As words.duration writes it.
function duration(seconds) {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1).replace(/\.0$/, "")} s`;
  let rest = Math.round(seconds);
  const parts = [];
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]]) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count || parts.length) parts.push(count ? `${count} ${unit}` : "");
  }
  return parts.slice(0, 2).filter(Boolean).join(" ");
}

function tick() {
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll("time.rel")) {
    const ago = (now - Date.parse(time.dateTime)) / 1000;
    const isAhead = ago < 0 && time.dataset.ahead;
    const words = isAhead ? time.dataset.ahead : time.dataset.words;
    const text = words.replace("{}", duration(Math.round(isAhead ? -ago : ago)));
    if (time.textContent !== text) time.textContent = text;
  }
}

// Keeping current: what has changed is replaced in its place, and nothing moves.

function isInUse(element) {
  const selection = document.getSelection();
  return element.contains(document.activeElement) && document.activeElement !== document.body
    || (!selection.isCollapsed && element.contains(selection.anchorNode));
}

const sent = new WeakMap();

function replace(old, fresh) {
  if (sent.get(old) === fresh.outerHTML || isInUse(old)) return;
  sent.set(fresh, fresh.outerHTML);
  const open = [...old.querySelectorAll("details[open]")].map((each) => each.id);
  const scrolled = [...old.querySelectorAll(SCROLLS)].map((each) => [each.scrollLeft, each.scrollTop]);
  old.replaceWith(fresh);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  fresh.querySelectorAll(SCROLLS).forEach((each, index) => {
    if (scrolled[index]) [each.scrollLeft, each.scrollTop] = scrolled[index];
  });
  showCopy();
}

function updateRows(table, fresh) {
  const rows = [...fresh.querySelectorAll("tr[data-uid]")];
  const known = new Map([...table.querySelectorAll("tr[data-uid]")].map((row) => [row.dataset.uid, row]));
  const newer = rows.findIndex((row) => known.has(row.dataset.uid));
  for (const row of rows) {
    const old = known.get(row.dataset.uid);
    if (!old) continue;
    old.classList.remove("gone");
    if (old.dataset.state !== row.dataset.state && !isInUse(old)) {
      old.innerHTML = row.innerHTML;
      old.dataset.state = row.dataset.state;
    }
    known.delete(row.dataset.uid);
  }
  const last = rows.at(-1)?.dataset.order ?? "";
  const isFull = fresh.dataset.full === "true";
  for (const [, row] of known) {
    // Beyond the end of a full page it may only have been pushed to the next one.
    row.classList.toggle("gone", !isFull || row.dataset.order > last);
  }
  const count = newer < 0 ? rows.length : newer;
  const link = document.getElementById("newer");
  link.classList.toggle("on", count > 0);
  const more = newer < 0 && isFull ? "+" : "";
  const text = `↑ ${count}${more} newer ${count === 1 ? "job" : "jobs"}`;
  if (count && link.textContent !== text) link.textContent = text;
}

function parse(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

function update(fresh) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (!next) continue;
    if (old.dataset.live === "rows" && old.querySelector("tr[data-uid]")) updateRows(old, next);
    else replace(old, next);
  }
  tick();
}

// Of this page; the attempt that is read stays when another has ended.
function address() {
  const url = new URL(location.href);
  const shown = document.querySelector("[data-attempt]")?.dataset.attempt;
  if (shown) url.searchParams.set("shown", shown);
  return url;
}

async function poll() {
  if (paused || document.hidden || isAsked) return;
  isAsked = true;
  try {
    const answer = await fetch(address(), {
      headers: etag ? { "If-None-Match": etag } : {},
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
      // A page that is none yet may lead on to another.
      redirect: document.body.dataset.failed ? "follow" : "error",
    });
    const asOf = answer.headers.get("X-As-Of");
    if (asOf) document.getElementById("as-of")?.setAttribute("datetime", asOf);
    if (answer.status === 304) {
      tell("");
    } else if (answer.ok) {
      if (document.body.dataset.failed) location.replace(location.href);
      // What somebody uses stays as it is, and is due again.
      const isHeld = [...document.querySelectorAll("[data-live]")].some(isInUse);
      etag = isHeld ? "" : answer.headers.get("ETag") ?? "";
      update(parse(await answer.text()));
      tell("");
    } else if (answer.status === 401) {
      tell("Your session has ended. Load the page again to sign in.");
    } else if (!document.body.dataset.failed) {
      const says = parse(await answer.text()).querySelector("h1")?.textContent;
      tell(`${says ?? `The dashboard answers ${answer.status}`}; this is what was known last.`);
    }
  } catch {
    tell("The dashboard does not answer; this is what was known last.");
  } finally {
    isAsked = false;
  }
}

function tell(text) {
  if (status.textContent !== text) status.textContent = text;
  status.hidden = text === "";
}

// A page with nothing of its own to keep current says how things were when it was loaded.
if (status && (document.querySelector("main [data-live]") || document.body.dataset.failed)) {
  setInterval(poll, EVERY_MS);
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", poll);
  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      pause.firstElementChild.textContent = paused ? "Resume" : "Pause";
      poll();
    });
  }
}

// Copying.

function showCopy() {
  if (!navigator.clipboard) return; // only where the address is a safe one
  for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
}
showCopy();
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  await navigator.clipboard.writeText(text);
  button.firstChild.textContent = "Copied";
  setTimeout(() => { button.firstChild.textContent = "Copy"; }, 1500);
});

// A list that is chosen from is sent at once.
for (const select of document.querySelectorAll("form.filter select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// Keys.

const keys = document.getElementById("keys");

function move(step) {
  const links = [...document.querySelectorAll("tbody a.name")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  links[Math.min(links.length - 1, Math.max(0, at < 0 ? 0 : at + step))].focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const go = { o: "/", l: "/jobs", e: "/errors", a: "/analytics", h: "/health" };
  if (event.key === "/") document.querySelector("form.filter input")?.focus();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "n") document.getElementById("newer")?.click();
  else if (event.key === "p") pause?.click();
  else if (event.key === "?") keys?.showModal();
  else if (go[event.key]) location.href = go[event.key];
  else return;
  event.preventDefault();
});
for (const opener of document.querySelectorAll("button[data-keys]")) {
  opener.hidden = false;
  opener.addEventListener("click", () => keys.showModal());
}
