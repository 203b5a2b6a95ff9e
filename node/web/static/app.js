/* The page's one script: entering, the count of new posts, keys, and a counter.
   Everything but entering works without it. It writes text, never markup. */
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// Entering: trade the one-time code in the address for a cookie. The code leaves the address bar first.
const CODE = /^#[\w-]{32}$/;
async function enter(code) {
  const say = $("#say");
  say.textContent = "Opening…";
  try {
    const answer = await fetch("/enter", { method: "POST", body: new URLSearchParams({ code }) });
    if (answer.ok) return location.replace("/");
    say.textContent = await answer.text();
  } catch {
    say.textContent = "The node does not answer. Is it still running?";
  }
}
function takeCode() {
  if (!CODE.test(location.hash)) return;
  const code = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  if ($("#door")) enter(code);
}
addEventListener("hashchange", takeCode); // an address pasted over the door loads nothing anew
takeCode();

// New posts wait behind a pill; nothing moves under the reader. Only a page in view listens:
// a browser opens six connections to one host, and hidden tabs would use them up.
const pill = $("#pill");
let source = null;
function listen() {
  if (!pill || document.hidden || source) return;
  const { since, thread } = pill.dataset;
  source = new EventSource(`/events?since=${since}${thread ? `&thread=${thread}` : ""}`);
  source.onmessage = (event) => {
    const count = JSON.parse(event.data).new;
    if (!count) return;
    pill.hidden = false;
    const [one, many] = thread ? ["reply", "replies"] : ["post", "posts"];
    $("#pill-text").textContent = `${count} new ${count === 1 ? one : many}`;
  };
}
function rest() {
  source?.close();
  source = null;
}
document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
addEventListener("pagehide", rest);
addEventListener("pageshow", () => {
  $$("button[disabled]").forEach((button) => (button.disabled = false));
  listen();
});

// A long text says how much room is left, in the bytes it will take.
for (const area of $$("textarea[data-max-bytes]")) {
  const counter = $(".counter", area.form);
  const max = Number(area.dataset.maxBytes);
  const count = () => {
    const left = max - new TextEncoder().encode(area.value).length;
    counter.textContent = left > max / 10 ? "" : left < 0 ? `${-left} too many` : `${left} left`;
    counter.classList.toggle("over", left < 0);
  };
  area.addEventListener("input", count);
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) area.form.requestSubmit();
  });
  count();
}

// One press, one post.
document.addEventListener("submit", (event) => {
  const button = event.submitter ?? $("button:not([type=button])", event.target);
  if (button && event.target.method === "post") setTimeout(() => (button.disabled = true));
});

for (const button of $$("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    $(".label", button).textContent = "Copied";
  });
}

// Keys: single letters, so they can be switched off (WCAG 2.1.4).
const help = $("#keys");
const KEYS_OFF = "unhush.keys.off";
const go = (path) => location.assign(path);
const posts = () => $$(".post");
let waitsForG = false;

function move(by) {
  const all = posts();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement?.closest(".post"));
  const next = all[Math.min(Math.max(at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by, 0), all.length - 1)];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}
function write() {
  const area = $("#compose textarea");
  if (area?.offsetParent) area.focus();
  else go("/write");
}
function act(key) {
  const post = document.activeElement?.closest(".post");
  if (waitsForG) {
    waitsForG = false;
    const place = { h: "/", a: "/activity", p: "/people", n: "/network", u: $("[data-me]")?.getAttribute("href") }[key];
    return place ? (go(place), true) : false;
  }
  switch (key) {
    case "j": return move(1), true;
    case "k": return move(-1), true;
    case "n": return write(), true;
    case "r": return post ? ($(".reply", post)?.click(), true) : false;
    case "Enter": return post && post === document.activeElement ? ($("time a", post)?.click(), true) : false;
    case ".": return pill && !pill.hidden ? (pill.click(), true) : false;
    case "g": return (waitsForG = true);
    case "?": return help.showModal(), true;
    default: return false;
  }
}
if (help) {
  const off = $("#keys-off");
  off.checked = localStorage.getItem(KEYS_OFF) === "1";
  off.addEventListener("change", () => localStorage.setItem(KEYS_OFF, off.checked ? "1" : "0"));
  $$("[data-keys]").forEach((element) => {
    element.hidden = false;
    element.querySelector("button")?.addEventListener("click", () => help.showModal());
  });
  addEventListener("keydown", (event) => {
    const field = event.target.closest?.("input,textarea,select,[contenteditable],dialog");
    if (off.checked || field || event.ctrlKey || event.metaKey || event.altKey) return;
    if (act(event.key)) event.preventDefault();
  });
}
