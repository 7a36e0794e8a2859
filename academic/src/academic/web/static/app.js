// The pages work without this. It keeps what is live on them current, and counts times on.
"use strict";

const WHILE_UNDER_WAY_EVERY_MS = 1000;
const OTHERWISE_EVERY_MS = 10000;
const skew = Date.parse(document.documentElement.dataset.now) - Date.now();
const told = document.getElementById("live");
let etag = "";

// As words.duration writes it.
function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]]) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count || parts.length) parts.push(count ? `${count} ${unit}` : "");
  }
  return parts.slice(0, 2).filter(Boolean).join(" ") || "0 s";
}

function tick() {
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll("time.rel")) {
    const text = time.dataset.words.replace("{}", duration(Math.abs(now - Date.parse(time.dateTime)) / 1000));
    if (time.textContent !== text) time.textContent = text;
  }
}

function isInUse(element) {
  const selection = document.getSelection();
  const focused = document.activeElement;
  return element.contains(focused) && focused.matches("a, button, input, select, textarea")
    || (!selection.isCollapsed && element.contains(selection.anchorNode));
}

// Whether all of it is current now: what somebody uses stays as it is.
function update(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  let isCurrent = true;
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (!next || old.dataset.sent === next.innerHTML) continue;
    if (isInUse(old)) {
      isCurrent = false;
      continue;
    }
    old.dataset.sent = next.innerHTML;
    old.innerHTML = next.innerHTML;
  }
  tick();
  return isCurrent;
}

async function poll() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, {
      headers: etag ? { "If-None-Match": etag } : {},
      cache: "no-store",
      // A page that is none yet may lead on to another.
      redirect: document.body.dataset.failed ? "follow" : "error",
    });
    if (answer.status === 304) {
      tell("");
    } else if (answer.ok) {
      if (document.body.dataset.failed) location.replace(location.href);
      etag = update(await answer.text()) ? answer.headers.get("ETag") ?? "" : "";
      tell("");
    } else if (answer.status === 401) {
      tell("Your session has ended. Load the page again to sign in.");
    } else if (!document.body.dataset.failed) {
      tell(`The service answers ${answer.status}; this is what was known last.`);
    }
  } catch {
    tell("The service does not answer; this is what was known last.");
  }
}

function tell(text) {
  if (told.textContent !== text) told.textContent = text;
  told.hidden = text === "";
}

// One answer after the other, however long each takes.
async function keepCurrent() {
  await poll();
  setTimeout(keepCurrent, pauseMs());
}

function pauseMs() {
  const isUnderWay = document.querySelector("[data-under-way]") || document.body.dataset.failed;
  return isUnderWay ? WHILE_UNDER_WAY_EVERY_MS : OTHERWISE_EVERY_MS;
}

if (document.querySelector("[data-live]") || document.body.dataset.failed) {
  setTimeout(keepCurrent, pauseMs());
  document.addEventListener("visibilitychange", poll);
}
setInterval(tick, 1000);

// What is sent is sent once, until its page is come back to.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button) setTimeout(() => { button.disabled = true; });
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button:disabled")) button.disabled = false;
});
