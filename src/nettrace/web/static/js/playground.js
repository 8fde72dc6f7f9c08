// @ts-check
// The playground: a request builder over /openapi.json. What is asked is in the URL; a key never is.

/** @typedef {{ name: string, in: string, required: boolean, description?: string, example?: string, schema: { type?: string, enum?: string[], default?: unknown, minimum?: number, maximum?: number } }} Parameter */
/** @typedef {{ id: string, method: string, path: string, tag: string, summary: string, description: string, parameters: Parameter[], body: unknown, cost: number, open: boolean, scope?: string, feature?: string, example: string }} Operation */

const SHOWN_BYTES = 200_000;
const EVENTS = 60;
const TOLD = ["content-type", "nettrace-cost", "ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after", "etag", "link", "x-request-id"];

/** @template {HTMLElement} T @param {string} id @returns {T} */
const at = (id) => /** @type {T} */ (document.getElementById(id));
const place = at("playground");
const chooser = /** @type {HTMLSelectElement} */ (at("operation"));
const keyField = /** @type {HTMLInputElement | null} */ (document.getElementById("key"));

/** @type {Operation[]} */ let operations = [];
/** @type {string[]} */ let hosts = [];
/** @type {Operation} */ let chosen;
let language = "curl";

/** @param {any} document_ @returns {Operation[]} */
function read(document_) {
  return Object.entries(document_.paths).flatMap(([path, methods]) => Object.entries(/** @type {any} */ (methods)).map(([method, each]) => ({
    id: each.operationId, method: method.toUpperCase(), path, tag: each.tags[0], summary: each.summary, description: each.description ?? "",
    parameters: each.parameters.filter((/** @type {Parameter} */ p) => p.in !== "header"), body: each.requestBody?.content["application/json"].example,
    cost: each["x-cost"], open: each.security.length === 0, scope: each["x-scope"], feature: each["x-feature"], example: each["x-example"],
  })));
}

/** @param {Parameter} parameter @param {string} value */
function field(parameter, value) {
  const label = document.createElement("label");
  label.append(parameter.name + (parameter.required ? " *" : "") + " ");
  const choices = parameter.schema.enum ?? (parameter.schema.type === "boolean" ? ["true", "false"] : null);
  let input;
  if (choices) {
    input = document.createElement("select");
    for (const choice of parameter.required ? choices : ["", ...choices]) input.add(new Option(choice, choice, false, choice === value));
  } else {
    input = document.createElement("input");
    input.value = value;
    if (parameter.name === "host") input.setAttribute("list", "hosts");
    const usual = parameter.schema.default;
    input.placeholder = usual === undefined || usual === null || String(usual) === "" ? "" : String(usual);
  }
  input.dataset.name = parameter.name; input.dataset.in = parameter.in; input.required = parameter.required;
  label.append(input);
  if (parameter.description) {
    const words = document.createElement("span");
    words.className = "small faint"; words.id = `about-${parameter.name}`; words.textContent = parameter.description.replaceAll("`", "");
    input.setAttribute("aria-describedby", words.id);
    label.append(words);
  }
  return label;
}

/** What stands in the fields: the path with its query, and the body. */
function asked() {
  let path = chosen.path;
  const query = [];
  for (const input of at("fields").querySelectorAll("[data-name]")) {
    const { name = "", in: where } = /** @type {HTMLElement} */ (input).dataset;
    const value = /** @type {HTMLInputElement} */ (input).value.trim();
    if (where === "path") path = path.replace(`{${name}}`, encodeURIComponent(value || `{${name}}`));
    else if (value) query.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  }
  const body = /** @type {HTMLTextAreaElement | null} */ (document.getElementById("body"))?.value ?? null;
  return { path: path + (query.length ? `?${query.join("&")}` : ""), body };
}

/** @param {string} path @param {string | null} body */
function code(path, body) {
  const url = location.origin + path;
  const keyed = !chosen.open && place.dataset.needsKey === "1";
  const said = body === null ? null : body.trim();
  const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;
  if (language === "curl") {
    const parts = ["curl"];
    if (!["GET", "POST"].includes(chosen.method)) parts.push(`-X ${chosen.method}`);
    if (keyed) parts.push('-H "Authorization: Bearer $NETTRACE_KEY"');
    if (said !== null) parts.push(`--json ${quoted(said)}`);
    return [...parts, quoted(url)].join(" \\\n  ");
  }
  if (language === "python") {
    const headers = [keyed ? '"Authorization": f"Bearer {os.environ[\'NETTRACE_KEY\']}"' : "", said !== null ? '"Content-Type": "application/json"' : ""].filter(Boolean);
    return ["import json", ...(keyed ? ["import os"] : []), "import urllib.request", "", "request = urllib.request.Request(", `    ${JSON.stringify(url)},`, `    method="${chosen.method}",`,
      ...(headers.length ? [`    headers={${headers.join(", ")}},`] : []), ...(said !== null ? [`    data=${JSON.stringify(said)}.encode(),`] : []), ")", "with urllib.request.urlopen(request) as answer:", "    print(json.load(answer))"].join("\n");
  }
  const headers = [keyed ? "Authorization: `Bearer ${process.env.NETTRACE_KEY}`" : "", said !== null ? '"Content-Type": "application/json"' : ""].filter(Boolean);
  return [`const answer = await fetch(${JSON.stringify(url)}, {`, `  method: "${chosen.method}",`, ...(headers.length ? [`  headers: { ${headers.join(", ")} },`] : []), ...(said !== null ? [`  body: ${JSON.stringify(said)},`] : []), "});", "console.log(await answer.json());"].join("\n");
}

function draw() {
  const { path, body } = asked();
  at("url").textContent = `${chosen.method} ${path}`;
  at("code").textContent = code(path, body);
  const state = new URLSearchParams({ op: chosen.id });
  for (const input of at("fields").querySelectorAll("[data-name]")) {
    const value = /** @type {HTMLInputElement} */ (input).value.trim();
    if (value) state.set(/** @type {HTMLElement} */ (input).dataset.name ?? "", value);
  }
  history.replaceState(null, "", `?${state}`);
}

/** The example's value, with a target this hub has in place of the example's. @param {Parameter} parameter @param {string} value */
function here(parameter, value) {
  if (!hosts.length) return value;
  if (parameter.name === "host" && value) return hosts[0];
  if (parameter.name === "hosts" && value) return hosts.slice(0, 2).join(",");
  return parameter.required || !/^(region|category|target)/.test(parameter.name) ? value : "";
}

/** @param {string} id @param {URLSearchParams | null} given */
function choose(id, given) {
  chosen = operations.find((each) => each.id === id) ?? operations[0];
  chooser.value = chosen.id;
  const example = new URL(chosen.example.replaceAll(/[{}]/g, ""), location.origin).searchParams;
  at("about").textContent = [chosen.summary, chosen.description.replaceAll("`", "")].filter(Boolean).join(". ");
  at("needs").textContent = chosen.open ? "Needs no key." : [chosen.cost ? `Costs ${chosen.cost} call${chosen.cost === 1 ? "" : "s"}` : "Free", chosen.scope ? `scope ${chosen.scope}` : "", chosen.feature ? `feature ${chosen.feature}` : ""].filter(Boolean).join(", ") + ".";
  const rows = chosen.parameters.map((each) => field(each, given?.get(each.name) ?? (each.in === "path" ? here(each, each.example ?? "") : given ? "" : here(each, example.get(each.name) ?? ""))));
  if (chosen.body !== undefined) {
    const label = document.createElement("label");
    label.className = "whole"; label.append("body (JSON) ");
    const area = document.createElement("textarea");
    area.id = "body"; area.rows = 8; area.spellcheck = false; area.value = JSON.stringify(chosen.body, null, 2);
    label.append(area); rows.push(label);
  }
  at("fields").replaceChildren(...rows);
  draw();
}

/** @param {string} kind @param {string} words */
function conclude(kind, words) { const mark = at("outcome"); mark.className = `state ${kind}`; mark.textContent = words; }

/** @param {string} text @param {Iterable<[string, string]>} headers */
function show(text, headers) {
  const rows = [...headers].filter(([name]) => TOLD.includes(name.toLowerCase()));
  at("told").replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("dt"); term.textContent = name;
    const told = document.createElement("dd"); told.textContent = value;
    return [term, told];
  }));
  let pretty = text;
  try { pretty = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON */ }
  at("answer").textContent = pretty.length > SHOWN_BYTES ? `${pretty.slice(0, SHOWN_BYTES)}\n… ${pretty.length - SHOWN_BYTES} more characters` : pretty;
}

/** @returns {Record<string, string>} */
function credentials() { return keyField?.value.trim() ? { authorization: `Bearer ${keyField.value.trim()}` } : {}; }

async function send() {
  const { path, body } = asked();
  if (place.dataset.needsKey === "1" && !keyField?.value.trim() && !chosen.open) { await demo("This needs a key. Recorded answer: "); return; }
  conclude("", "asking");
  try {
    const answer = await fetch(path, { method: chosen.method, headers: { ...credentials(), ...(body === null ? {} : { "content-type": "application/json" }) }, body });
    const text = await answer.text();
    conclude(answer.ok ? "good" : "failed", `${answer.status}, ${text.length.toLocaleString("en")} characters`);
    show(text, answer.headers);
  } catch { conclude("failed", "no connection"); show("", []); }
}

/** @param {string} [why] */
async function demo(why = "") {
  const answer = await fetch(place.dataset.demo ?? "");
  const recorded = (await answer.json())[chosen.id];
  if (!recorded) { conclude("", "demo data: none for this operation"); show("", []); return; }
  conclude("notice", `${why}demo data`);
  show(typeof recorded.body === "string" ? recorded.body : JSON.stringify(recorded.body), Object.entries(recorded.headers));
  const first = document.createElement("dt"); first.textContent = "demo data";
  const words = document.createElement("dd"); words.textContent = `recorded from an example hub, invented numbers, status ${recorded.status}: ${recorded.method} ${recorded.path}`;
  at("told").prepend(first, words);
}

/** @type {AbortController | null} */ let listening = null;

/** @param {string} name @param {string} data */
function heard(name, data) {
  const row = document.createElement("div");
  const kind = document.createElement("b"); kind.textContent = name;
  row.append(kind, " ", data.length > 400 ? `${data.slice(0, 400)}…` : data);
  const list = at("stream");
  list.prepend(row);
  while (list.children.length > EVENTS) list.lastElementChild?.remove();
}

/** @param {string} kind @param {string} words */
function streaming(kind, words) {
  const mark = at("stream-state"); mark.className = `state ${kind}`; mark.textContent = words;
  const button = at("listen"); button.setAttribute("aria-pressed", String(listening !== null)); button.textContent = listening ? "Stop" : "Listen";
}

async function listen() {
  if (listening) { listening.abort(); listening = null; streaming("", "not listening"); return; }
  const mine = listening = new AbortController();
  streaming("", "connecting");
  try {
    const answer = await fetch("/api/v1/stream", { headers: { accept: "text/event-stream", ...credentials() }, signal: mine.signal });
    if (!answer.ok || !answer.body) {
      const told = await answer.json().catch(() => ({}));
      listening = null; streaming("failed", told.detail ?? `status ${answer.status}`); return;
    }
    streaming("good", "listening");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const lines = block.split("\n");
        const part = (/** @type {string} */ name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        if (part("data") !== undefined) heard(part("event") ?? "message", part("data") ?? "");
      }
    }
    if (listening === mine) { listening = null; streaming("failed", "the stream ended"); }
  } catch { if (listening === mine) { listening = null; streaming("failed", "connection lost"); } }
}

async function begin() {
  operations = read(await (await fetch("/openapi.json")).json());
  const watched = await fetch("/status/feed.json");
  if (watched.ok) hosts = (await watched.json()).targets.map((/** @type {{ host: string }} */ each) => each.host);
  for (const tag of new Set(operations.map((each) => each.tag))) {
    const group = document.createElement("optgroup");
    group.label = tag;
    for (const each of operations.filter((one) => one.tag === tag)) group.append(new Option(`${each.method} ${each.path}`, each.id));
    chooser.add(group);
  }
  at("hosts").append(...hosts.map((host) => new Option(host)));
  const given = new URLSearchParams(location.search);
  choose(given.get("op") ?? "getLatency", given.has("op") ? given : null);
  place.hidden = false;
  chooser.addEventListener("change", () => choose(chooser.value, null));
  at("ask").addEventListener("submit", (event) => { event.preventDefault(); void send(); });
  at("fields").addEventListener("input", draw);
  at("send").addEventListener("click", () => { void send(); });
  at("show-demo").addEventListener("click", () => { void demo(); });
  at("listen").addEventListener("click", () => { void listen(); });
  at("languages").addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (button?.id === "copy") { void navigator.clipboard?.writeText(at("code").textContent ?? ""); return; }
    if (!button?.dataset.language) return;
    language = button.dataset.language;
    for (const each of at("languages").querySelectorAll("[data-language]")) each.setAttribute("aria-pressed", String(each === button));
    draw();
  });
}

void begin();
