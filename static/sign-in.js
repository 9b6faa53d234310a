// Signs people in and sends them where they wanted to go, or shows them their desktops. Whatever the server says only
// ever becomes text nodes, never markup.
"use strict";

const POLL_MS = 2000;
// A sign-in with a provider takes no longer `next`.
const NEXT_LIMIT = 2048;
const AWAY = "The server does not answer. Try again.";
const LATER = "This takes too long, or the server is away. Reload the page to try again.";
const COOKIE = "The server let you in, but your browser did not keep its cookie. Allow cookies, and come by HTTPS if the "
  + "server has an HTTPS address.";

const STATUSES = {
  requested: "on its way",
  pulling: "fetching the image",
  creating: "being made",
  starting: "starting",
  ready: "ready",
  stopping: "stopping",
  stopped: "stopped",
  failed: "failed",
  gone: "gone",
};
const LASTING = ["ready", "stopped", "failed", "gone"];

const part = (name) => document.getElementById(name);
const wanted = pathOnThisServer(new URLSearchParams(location.search).get("next"));

let polling = null;
let waiting = null;
let me = null;

// ---- Where to go

// A path of this server, or null: `//host`, `/\host` and `scheme:` lead elsewhere, also once `..` is resolved, and `/` is
// this page.
function pathOnThisServer(next) {
  if (!next || !next.startsWith("/") || next.startsWith("//") || /[\\\u0000-\u001f\u007f]/.test(next)) return null;
  const address = new URL(next, location.origin);
  if (address.origin !== location.origin || address.pathname === "/" || address.pathname.startsWith("//")) return null;
  return address.pathname + address.search + address.hash;
}

function forProvider() {
  if (!wanted) return "/";
  return wanted.length <= NEXT_LIMIT ? wanted : new URL(wanted, location.origin).pathname;
}

// ---- What comes from the server

async function call(address, options = {}) {
  const answer = await fetch(address, { cache: "no-store", credentials: "same-origin", ...options });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const error = new Error(problem.detail ?? `the server answers with status ${answer.status}`);
  throw Object.assign(error, { status: answer.status, code: problem.code, retry: answer.headers.get("Retry-After") });
}

async function look() {
  try {
    me = await (await call("/api/me")).json();
  } catch (error) {
    showSignIn();
    if (error.status !== 401) complain(error.status ? sentence(error.message) : AWAY);
    return;
  }
  if (wanted) return location.replace(wanted);
  showSelf();
}

async function signIn(event) {
  event.preventDefault();
  const [name, password] = [part("username"), part("password")];
  const missing = [name, password].find((field) => field.value === "");
  mark(missing);
  if (missing) {
    complain(missing === name ? "Give your name." : "Give your password.");
    return missing.focus();
  }
  complain(null);
  part("submit").disabled = true;
  try {
    const body = JSON.stringify({ username: name.value, password: password.value });
    await call("/api/session", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    await arrive();
  } catch (error) {
    refused(error);
  } finally {
    part("submit").disabled = waiting !== null;
  }
}

// A cookie that was not kept would lead from here to the desktop and back again, without a word.
async function arrive() {
  try {
    me = await (await call("/api/me")).json();
  } catch (error) {
    throw error.status === 401 ? Object.assign(new Error(COOKIE), { status: 401 }) : error;
  }
  part("password").value = "";
  if (wanted) return location.replace(wanted);
  showSelf();
  part("card").focus();
}

function refused(error) {
  const password = part("password");
  if (error.code === "wrong_password") {
    complain("Name or password is wrong.");
    mark(password);
    password.select();
  } else if (error.code === "too_many_attempts") {
    waitFor(Number(error.retry) || 1);
  } else {
    complain(error.status ? sentence(error.message) : AWAY);
  }
  if (!waiting) password.focus();
}

// The button waits with the person; that it is over is said once.
function waitFor(seconds) {
  const at = new Date(Date.now() + seconds * 1000).toLocaleTimeString();
  complain(`Too many attempts. You can try again in ${duration(seconds)}, at ${at}.`);
  waiting = setTimeout(() => {
    waiting = null;
    part("submit").disabled = false;
    complain("You can try again now.");
  }, seconds * 1000);
}

async function offerProviders() {
  const { items } = await (await call("/api/oidc")).json();
  part("providers").hidden = items.length === 0;
  part("providers").replaceChildren(...items.map(({ name, label }) => {
    const row = make("li", "");
    const link = row.appendChild(make("a", "button", `Sign in with ${label}`));
    link.href = `/api/oidc/${encodeURIComponent(name)}/start?next=${encodeURIComponent(forProvider())}`;
    return row;
  }));
}

async function signOut() {
  part("sign-out").disabled = true;
  try {
    await call("/api/session", { method: "DELETE", headers: { "X-Dockway-Csrf": "1" } });
    showSignIn();
  } catch (error) {
    if (error.status === 401) return showSignIn();
    complain(error.status ? sentence(error.message) : AWAY);
  } finally {
    part("sign-out").disabled = false;
  }
}

// Administrators are shown everybody's; here only their own count.
async function ownDesktops() {
  const own = [];
  let after = "";
  do {
    const page = await (await call(`/api/desktops?limit=1000${after}`)).json();
    own.push(...page.items.filter((desktop) => desktop.owner === me.username));
    after = page.next && `&after=${encodeURIComponent(page.next)}`;
  } while (after);
  return own.sort((one, other) => one.proxy_path.localeCompare(other.proxy_path));
}

async function listDesktops() {
  try {
    showDesktops(await ownDesktops());
    complain(null);
  } catch (error) {
    if (error.status === 401) return showSignIn();
    complain(LATER);
  }
}

// ---- What the page shows

function showSignIn() {
  me = null;
  stopPolling();
  complain(null);
  mark(null);
  part("signed-in").hidden = true;
  part("signed-out").hidden = false;
  part("purpose").textContent = wanted?.startsWith("/desktop/")
    ? "Sign in to open your desktop"
    : "Desktops and tunnels behind one door";
  document.title = "Sign in – Dockway";
  part("username").focus();
  // Without them one can still sign in by password.
  offerProviders().catch(() => {});
}

function showSelf() {
  complain(null);
  part("signed-out").hidden = true;
  part("signed-in").hidden = false;
  part("purpose").textContent = "Desktops and tunnels behind one door";
  part("who").textContent = me.display_name ? `${me.display_name} (${me.username})` : me.username;
  document.title = "Your desktops – Dockway";
  listDesktops();
}

function showDesktops(desktops) {
  part("no-desktops").hidden = desktops.length > 0;
  const rows = new Map([...part("desktops").children].map((row) => [row.dataset.path, row]));
  for (const { proxy_path: path, desktop_type: type, status } of desktops) {
    const row = rows.get(path) ?? newRow(path, type);
    rows.delete(path);
    row.className = status;
    const text = STATUSES[status] ?? status;
    const note = row.querySelector(".status");
    if (note.textContent !== text) note.textContent = text;
    part("desktops").append(row);
  }
  for (const row of rows.values()) row.remove();
  if (desktops.every(({ status }) => LASTING.includes(status))) stopPolling();
  else poll();
}

function newRow(path, type) {
  const row = make("li", "");
  row.dataset.path = path;
  const link = row.appendChild(make("a", ""));
  link.href = `/desktop/${path}`;
  link.append(make("span", "name", type), make("span", "status"));
  return row;
}

// Only while something is on its way, so that an open page does not keep the sign-in alive.
function poll() {
  polling ??= setInterval(() => { if (!document.hidden) listDesktops(); }, POLL_MS);
}

function stopPolling() {
  clearInterval(polling);
  polling = null;
}

function complain(text) {
  part("problem").textContent = text ?? "";
}

function mark(wrong) {
  for (const field of [part("username"), part("password")]) {
    if (field !== wrong) {
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-describedby");
      continue;
    }
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", "problem");
  }
}

// ---- Words

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

part("form").addEventListener("submit", signIn);
part("sign-out").addEventListener("click", signOut);
// Somebody who comes back to the page sees what is, also whether the sign-in has ended.
document.addEventListener("visibilitychange", () => { if (me && !document.hidden) listDesktops(); });
addEventListener("pageshow", (event) => { if (event.persisted) look(); });
look();
