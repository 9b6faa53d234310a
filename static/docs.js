// Renders openapi.json. Text from the description only ever becomes text nodes, never markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const ADDRESS = location.href.replace(/\/api\/docs.*$/, "");
const COPIED_MS = 1500;

// By security scheme: what a call's title says of it, and how curl shows it.
const ACCESS = {
  nothing: { note: "no token needed", shows: [] },
  session: { note: "for signed-in browsers, not for tokens",
    shows: ["-b cookies.txt", `-H "Origin: ${location.origin}"`, '-H "X-Dockway-Csrf: 1"'] },
  agent: { note: "with the agent's token", shows: [] },
  token: { note: "", shows: ['-H "Authorization: Bearer $TOKEN"'] },
};

// It is the same for everybody, so it is asked for as nobody.
fetch("openapi.json", { credentials: "omit" })
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then(show)
  .catch((error) => {
    document.getElementById("state").textContent = `The description could not be loaded: ${error.message}`;
  });

function show(description) {
  document.getElementById("version").textContent = description.info.version;
  document.getElementById("intro").replaceChildren(...prose(description.info.description));
  document.getElementById("state").remove();
  for (const tag of description.tags) {
    const operations = operationsOf(description, tag.name);
    if (operations.length === 0) continue;
    document.getElementById("contents").append(make("strong", {}, tag.name), ...operations.map(link));
    const title = [make("h2", { id: tag.name.toLowerCase() }, tag.name), make("p", {}, ...prose(tag.description))];
    const articles = operations.map((operation) => article(description, operation));
    document.getElementById("calls").append(make("section", {}, ...title, ...articles));
  }
  // The part that the address names did not exist when the page was loaded.
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

function operationsOf(description, tag) {
  const operations = [];
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of METHODS) {
      if (item[method]?.tags?.includes(tag)) operations.push({ path, method, id: item[method].operationId, ...item[method] });
    }
  }
  return operations;
}

function link({ id, method, summary }) {
  return make("a", { href: `#${id}` }, badge(method), make("span", {}, summary));
}

function badge(method) {
  return make("span", { class: `method ${method}` }, method.toUpperCase());
}

function article(description, operation) {
  const access = accessTo(description, operation);
  const body = bodyOf(description, operation);
  const parts = [
    make("h3", {}, operation.summary),
    make("div", { class: "address" }, badge(operation.method), make("code", {}, operation.path),
      ...(access.note ? [make("span", { class: "open" }, access.note)] : [])),
  ];
  if (operation.description) parts.push(make("p", {}, ...prose(operation.description)));
  if (operation.parameters?.length) parts.push(make("h4", {}, "Parameters"), parameters(operation.parameters));
  if (body) parts.push(make("h4", {}, "Body"), fields(description, body));
  parts.push(make("h4", {}, "Answers"), answers(description, operation.responses));
  parts.push(make("h4", {}, "Example"), example(command(description, operation, body, access)));
  return make("article", { id: operation.id }, ...parts);
}

// An API token will do unless the description says otherwise.
function accessTo(description, operation) {
  const schemes = (operation.security ?? description.security ?? []).flatMap((choice) => Object.keys(choice));
  return ACCESS[schemes.includes("token") ? "token" : schemes[0] ?? "nothing"];
}

function bodyOf(description, operation) {
  const schema = operation.requestBody?.content["application/json"]?.schema;
  return schema && resolve(description, schema);
}

function parameters(list) {
  const rows = list.map(({ name, in: place, required, schema, description }) =>
    row(name, required, `${typeOf(schema)}, in the ${place}`, description));
  return make("table", {}, make("tbody", {}, ...rows));
}

function fields(description, schema) {
  return make("table", {}, make("tbody", {}, ...fieldRows(description, schema, "")));
}

function fieldRows(description, schema, prefix) {
  const required = schema.required ?? [];
  return namesOf(schema).flatMap((name) => {
    const field = resolve(description, schema.properties[name]);
    const items = field.items && resolve(description, field.items);
    const inner = items?.properties ? fieldRows(description, items, `${prefix}${name}[].`) : [];
    // What an answer holds is never "required" of its reader: only bodies (which allow no other fields) say so.
    const isAsked = schema.additionalProperties === false && required.includes(name);
    return [row(prefix + name, isAsked, typeOf(field, items), field.description), ...inner];
  });
}

// Required fields first.
function namesOf(schema) {
  const required = schema.required ?? [];
  return [...required, ...Object.keys(schema.properties ?? {}).filter((name) => !required.includes(name))];
}

function row(name, required, type, text) {
  const mark = required ? [make("span", { class: "required" }, "required")] : [];
  return make("tr", {}, make("th", { scope: "row" }, make("code", {}, name), ...mark),
    make("td", { class: "type" }, type), make("td", {}, ...prose(text ?? "")));
}

function typeOf(schema, items) {
  const types = [schema.type ?? "object"].flat();
  const parts = [types.filter((type) => type !== "null").join(" or ")];
  if (schema.items) parts[0] += ` of ${(items ?? schema.items).type ?? "object"}s`;
  if (schema.enum) parts.push(schema.enum.join(", "));
  if (schema.maximum !== undefined) parts.push(`${schema.minimum ?? 0} to ${schema.maximum}`);
  if (schema.maxLength !== undefined) parts.push(`${schema.minLength ?? 0} to ${schema.maxLength} characters`);
  if (schema.maxItems !== undefined) parts.push(`at most ${schema.maxItems} entries`);
  if (types.includes("null")) parts.push("or null");
  return parts.join(", ");
}

function answers(description, responses) {
  const rows = Object.entries(responses).map(([status, response]) => {
    const content = Object.values(response.content ?? {})[0];
    const schema = content?.schema && resolve(description, content.schema);
    const told = [make("span", {}, ...prose(response.description))];
    if (status < 400 && schema?.properties) {
      told.push(make("details", {}, make("summary", {}, "Fields"), fields(description, schema)));
    }
    return make("tr", {}, make("td", {}, make("span", { class: "status" }, status)), make("td", {}, ...told));
  });
  return make("table", { class: "answers" }, make("tbody", {}, ...rows));
}

function command(description, operation, body, access) {
  if (access === ACCESS.agent) return `dockway agent --server ${ADDRESS} --client-id pc1 --token-file pc1.token`;
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name) => name.toUpperCase());
  const answers = Object.values(operation.responses);
  const isEndless = answers.some((answer) => answer.content?.["text/event-stream"]);
  const method = operation.method === "get" ? "" : `-X ${operation.method.toUpperCase()} `;
  const lines = [`curl ${isEndless ? "-N " : ""}${method}${ADDRESS}${path}`, ...access.shows];
  if (answers.some((answer) => answer.headers?.["Set-Cookie"])) lines.push("-c cookies.txt");
  if (body) lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(sample(description, body))}'`);
  return lines.join(" \\\n  ");
}

function sample(description, schema) {
  const value = {};
  for (const name of namesOf(schema)) {
    const field = resolve(description, schema.properties[name]);
    if (field.example !== undefined) value[name] = field.example;
  }
  return value;
}

function example(text) {
  const button = make("button", { type: "button" }, "Copy");
  const code = make("pre", {}, text);
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text, code)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, COPIED_MS);
  });
  return make("div", { class: "example" }, code, button);
}

// Browsers give pages without TLS no clipboard: then the text is selected for the person to copy.
async function copy(text, code) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

function resolve(description, schema) {
  if (schema.$ref) return resolve(description, schema.$ref.slice(2).split("/").reduce((at, key) => at[key], description));
  if (schema.allOf) return schema.allOf.map((part) => resolve(description, part)).reduce(joined);
  const known = schema.oneOf?.find((choice) => choice.type !== "null");
  return known ? { ...resolve(description, known), description: schema.description } : schema;
}

function joined(one, other) {
  const required = [...(one.required ?? []), ...(other.required ?? [])];
  return { ...one, ...other, required, properties: { ...one.properties, ...other.properties } };
}

// Text with `code` in it, as nodes.
function prose(text) {
  return text.split("`").map((part, n) => (n % 2 ? make("code", {}, part) : document.createTextNode(part)));
}

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
