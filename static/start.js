// Shows what becomes of a desktop until it is ready, and then turns into it. Whatever the server says only ever becomes
// text nodes, never markup.
"use strict";

const POLL_MS = 2000;
// The gateway has just said that the desktop is not ready: it is not asked again at once.
const LEAST_STAY_MS = 1000;
const LOG_LINES = 40;
const SAY_EVERY_PERCENT = 25;
const LOST = "The server does not answer. Trying again …";

const card = document.getElementById("desktop");
const { id, path } = card.dataset;
const place = `/api/desktops/${encodeURIComponent(id)}`;
const part = (name) => document.getElementById(name);

const HEADLINES = {
  requested: "Getting your desktop …",
  pulling: "Fetching the image …",
  creating: "Creating the container …",
  starting: "Almost there …",
  ready: "Ready. Opening …",
  stopping: "Stopping …",
  stopped: "This desktop is stopped",
  failed: "This desktop has failed",
  gone: "This desktop's container is gone",
};
const STEPS = [...part("steps").children];
const ON_ITS_WAY = STEPS.map((step) => step.dataset.status);
const STARTABLE = ["stopped", "failed", "gone"];

let shown = { status: null, since: 0 };
let over = false;
let polling = null;
let asked = 0;
let keepsHome = null;

// ---- What comes from the server

async function call(address, options = {}) {
  const answer = await fetch(address, { cache: "no-store", credentials: "same-origin", ...options });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const error = new Error(problem.detail ?? `The server answers with status ${answer.status}.`);
  throw Object.assign(error, { status: answer.status });
}

// An answer that was asked for before another one tells nothing new.
async function look() {
  const turn = ++asked;
  try {
    const desktop = await (await call(place)).json();
    if (turn !== asked) return;
    if (part("problem").textContent === LOST) complain(null);
    show(desktop);
  } catch (error) {
    if (turn === asked) failedToLook(error);
  }
}

function failedToLook({ status }) {
  if (status === 401) return signedOut();
  if (status === 403 || status === 404) return deleted();
  complain(LOST);
  poll();
}

function watch() {
  const stream = new EventSource("/api/events");
  const on = (name, act) => stream.addEventListener(name, (event) => act(JSON.parse(event.data)));
  on("hello", () => { stopPolling(); look(); });
  on("start_over", look);
  on("desktop.changed", (event) => {
    if (event.id !== id || over) return;
    asked += 1;
    show(event.desktop);
  });
  on("desktop.deleted", (event) => { if (event.id === id) deleted(); });
  on("signed_out", signedOut);
  // The browser connects again by itself, unless it was refused.
  stream.addEventListener("error", () => { if (!over) poll(); });
  addEventListener("pagehide", () => stream.close());
  return stream;
}

function poll() {
  polling ??= setInterval(() => { if (!document.hidden && !over) look(); }, POLL_MS);
}

function stopPolling() {
  clearInterval(polling);
  polling = null;
}

async function start() {
  const hadFocus = document.activeElement === part("start");
  part("start").disabled = true;
  complain(null);
  try {
    const answer = await call(`${place}/start`, { method: "POST", headers: { "X-Dockway-Csrf": "1" } });
    asked += 1;
    show(await answer.json());
  } catch (error) {
    if (error.status === 401) return signedOut();
    complain(error.status ? capital(error.message) : "The server does not answer. Try again.");
  } finally {
    part("start").disabled = false;
    if (hadFocus) keepFocus();
  }
}

// Whoever pressed the button by keyboard does not lose the place.
function keepFocus() {
  if (!part("actions").hidden && !part("start").hidden) return part("start").focus();
  card.tabIndex = -1;
  card.focus({ preventScroll: true });
}

async function showLog() {
  try {
    const text = await (await call(`${place}/logs`)).text();
    const lines = text.trimEnd().split("\n").slice(-LOG_LINES).join("\n");
    part("log").hidden = shown.status !== "failed" || lines.trim() === "";
    part("lines").textContent = lines;
    part("lines").scrollTop = part("lines").scrollHeight;
  } catch {
    part("log").hidden = true;
  }
}

// Whether the home outlives the container stands with the type.
async function tellOfHome(desktop) {
  try {
    const type = await (await call(`/api/desktop-types/${encodeURIComponent(desktop.desktop_type)}`)).json();
    keepsHome = type.persistent_home;
  } catch {
    keepsHome = null;
  }
  if (shown.status === desktop.status) explain(desktop);
}

// ---- What the page shows

function show(desktop) {
  if (over) return;
  const { status } = desktop;
  const isNew = status !== shown.status;
  if (isNew) {
    shown = { status, since: Date.now(), said: 0 };
    card.dataset.status = status;
    card.classList.toggle("failed", status === "failed");
    say(HEADLINES[status] ?? status);
    part("spoken").textContent = "";
    complain(null);
    offerStart(status);
    part("log").hidden = true;
    if (status === "failed") showLog();
    if (STARTABLE.includes(status)) tellOfHome(desktop);
  }
  explain(desktop);
  showSteps(status);
  showImage(status === "pulling" ? desktop.progress : null);
  if (isNew && status === "ready") open();
}

function say(text) {
  part("headline").textContent = text;
  document.title = `${text.replace(/ …$/, "")} – ${card.querySelector("h1").textContent}`;
}

function explain({ status, reason }) {
  const sentences = {
    requested: [],
    pulling: ["The first desktop of a type takes a while; the next ones do without this."],
    starting: ["The container runs. It opens here by itself as soon as it answers."],
    stopped: [reason ? sentence(reason) : "It was stopped on purpose.", home()],
    failed: [reason ? sentence(reason) : ""],
    gone: [reason ? sentence(reason) : "Somebody removed it outside of Dockway.", home()],
  }[status] ?? [];
  const text = sentences.filter(Boolean).join(" ");
  part("explanation").textContent = text;
  part("explanation").hidden = text === "";
}

function home() {
  if (keepsHome === null) return "";
  return keepsHome ? "Its home, with your files in it, was kept." : "What was in it was not kept.";
}

function showSteps(status) {
  const now = ON_ITS_WAY.indexOf(status);
  part("steps").hidden = now < 0;
  STEPS.forEach((step, n) => {
    step.className = n < now ? "done" : n === now ? "now" : "";
    if (n === now) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  });
  tick();
}

// How long the step takes so far, beside it.
function tick() {
  const now = ON_ITS_WAY.indexOf(shown.status);
  const seconds = Math.floor((Date.now() - shown.since) / 1000);
  STEPS.forEach((step, n) => {
    const note = step.querySelector(".note") ?? step.appendChild(make("span", "note"));
    const text = n === now && seconds >= 3 ? ` ${duration(seconds)}` : "";
    if (note.textContent !== text) note.textContent = text;
  });
}

function showImage(progress) {
  part("image").hidden = !progress || progress.layers.length === 0;
  if (!progress) return;
  const done = progress.layers.filter((layer) => layer.state === "done").length;
  bar(part("all"), progress.done, progress.total);
  part("sum").textContent = progress.total
    ? `${size(progress.done)} of ${size(progress.total)}`
    : `${done} of ${progress.layers.length} layers`;
  const rows = new Map([...part("layers").children].map((row) => [row.dataset.layer, row]));
  for (const layer of progress.layers) {
    showLayer(rows.get(layer.id) ?? newLayer(layer.id), layer);
    rows.delete(layer.id);
  }
  for (const row of rows.values()) row.remove();
  sayHowFar(progress);
}

function newLayer(layer) {
  const row = part("layers").appendChild(make("li", ""));
  row.dataset.layer = layer;
  const name = row.appendChild(make("code", ""));
  name.textContent = layer;
  row.appendChild(make("progress", "")).setAttribute("aria-label", `Layer ${layer}`);
  row.appendChild(make("span", ""));
  return row;
}

function showLayer(row, { state, done, total }) {
  const [, progress, note] = row.children;
  row.className = state === "done" ? "complete" : "";
  if (state === "done") bar(progress, 1, 1);
  else if (state === "waiting") bar(progress, 0, 1);
  else bar(progress, done, total);
  const texts = {
    waiting: "waiting",
    downloading: total ? `${size(done)} of ${size(total)}` : size(done),
    extracting: "unpacking",
    done: "done",
  };
  const text = texts[state] ?? state;
  if (note.textContent !== text) note.textContent = text;
}

// Of an unknown size, the bar shows only that something happens.
function bar(progress, done, total) {
  if (total > 0) {
    progress.max = total;
    progress.value = Math.min(done, total);
  } else {
    progress.removeAttribute("value");
  }
}

// What is read out changes only now and then.
function sayHowFar({ done, total }) {
  const percent = total ? Math.floor((done / total) * 100) : 0;
  const step = percent - (percent % SAY_EVERY_PERCENT);
  if (step <= shown.said || step >= 100) return;
  shown.said = step;
  part("spoken").textContent = `${step} % of the image is here.`;
}

function offerStart(status) {
  const may = STARTABLE.includes(status);
  part("actions").hidden = !may;
  part("start").hidden = !may;
  part("start").textContent = status === "failed" ? "Try again" : "Start";
}

function complain(text) {
  part("problem").textContent = text ?? "";
  part("problem").hidden = !text;
}

// ---- Where it ends

// A page inside of the desktop stays what it was; the desktop's own address leads to its entry.
function open() {
  const isEntry = [`/desktop/${path}`, `/desktop/${path}/`].includes(location.pathname);
  const go = () => (isEntry ? location.replace(`/desktop/${path}`) : location.reload());
  setTimeout(go, Math.max(0, LEAST_STAY_MS - performance.now()));
}

function signedOut() {
  finish("You are signed out");
  part("explanation").textContent = "Sign in to see your desktop.";
  part("explanation").hidden = false;
  part("actions").hidden = false;
  part("start").hidden = true;
  part("sign-in").hidden = false;
  // The same address asks for a sign-in, and leads back here.
  part("sign-in").href = location.pathname + location.search;
}

function deleted() {
  finish("This desktop was deleted");
  part("explanation").hidden = true;
  part("actions").hidden = true;
}

function finish(headline) {
  over = true;
  stopPolling();
  stream.close();
  shown = { status: null, since: 0 };
  card.classList.remove("failed");
  say(headline);
  complain(null);
  for (const name of ["steps", "image", "log"]) part(name).hidden = true;
}

// ---- Words

function make(tag, className) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sentence(text) {
  return /[.!?]$/.test(text) ? capital(text) : `${capital(text)}.`;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 100 ? 1 : 0)} ${units[unit]}`;
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

// What the gateway knew when it made the page; the rest comes in a moment.
say(HEADLINES[card.dataset.status] ?? "");
showSteps(card.dataset.status);
part("start").addEventListener("click", start);
setInterval(tick, 1000);
const stream = watch();
poll();
look();
