// The page of `restore web`: drop pictures, choose steps, try them on a crop, restore, compare, download.
// Names of files only ever become text (`textContent`), never markup.

import { Viewer } from "./viewer.js";

const CROP = 512; // pixels
const $ = (id) => document.getElementById(id);
const pictures = new Map(); // id -> what the server tells
const works = new Map();
const crops = new Map(); // id of a picture -> middle of its crop, 0..1
const choices = new Map(); // id of a picture -> name of a field -> its value, as the user left the form
const faults = []; // what went wrong since files were last given
let limits = {};
let session = null;
let current = null; // id of a picture
let viewer = null;
let compared = null; // id of the job in the viewer
let queue = Promise.resolve(); // uploads, one after the other

async function ask(path, { body, method = "POST" } = {}) {
  const options = { method };
  if (method === "POST") options.body = body ?? "{}";
  const answer = await fetch(path, options);
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error([value.reason ?? `error ${answer.status}`, value.hint].filter(Boolean).join(": "));
  return value;
}

function say(text) {
  $("message").textContent = text;
}

function blame(text) {
  if (!faults.includes(text)) faults.push(text);
  const most = 5;
  const shown = faults.length > most ? [...faults.slice(0, most), `and ${faults.length - most} more`] : faults;
  $("faults").replaceChildren(...shown.map((one) => Object.assign(document.createElement("li"), { textContent: one })));
}

function forgive() {
  faults.length = 0;
  $("faults").replaceChildren();
}

/** Without an answer (`TypeError`), the reason is `silence`. */
function attempt(action, silence = "The server is not running.") {
  return action().catch((error) => blame(error instanceof TypeError ? silence : error.message));
}

// ------------------------------------------------------------------------------------------------------------- pictures

function upload(files) {
  forgive();
  for (const file of files) {
    queue = queue
      .then(() => attempt(() => send(file), `${file.name} cannot be read, or the server is not running`))
      .then(() => say(""));
  }
}

/** The files of a drop; a folder is not opened. */
function dropped(transfer) {
  const folders = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry?.isDirectory);
  const names = new Set(folders.map((entry) => entry.name));
  upload([...transfer.files].filter((file) => !names.has(file.name)));
  for (const name of names) blame(`${name} is a folder: drop the pictures in it`);
}

async function send(file) {
  if (file.size > limits.largest) throw new Error(`${file.name} is larger than ${Math.round(limits.largest / 2 ** 20)} MB`);
  say(`Reading ${file.name}`);
  const picture = await ask(`${session}/pictures?name=${encodeURIComponent(file.name.toWellFormed?.() ?? file.name)}`, { body: file });
  if (!pictures.has(picture.id)) pictures.set(picture.id, picture);
  if (!current) select(picture.id);
  else draw();
}

function select(id) {
  current = id;
  fillForm(id);
  draw();
}

function jobs(id, kind) {
  return [...works.values()].filter((work) => work.picture === id && (!kind || work.kind === kind));
}

function thumbOf(id) {
  const work = jobs(id, "inspect").find((one) => one.views.includes("thumb"));
  return work ? `${session}/jobs/${work.id}/thumb` : null;
}

// ---------------------------------------------------------------------------------------------------------------- steps

function buildSteps() {
  for (const name of limits.orders.noisy) {
    const task = limits.tasks.find((one) => one.name === name);
    const box = Object.assign(document.createElement("input"), { type: "checkbox", name: task.name });
    const label = Object.assign(document.createElement("label"), { title: task.summary });
    label.append(box, ` ${task.name}`);
    const row = Object.assign(document.createElement("div"), { className: "step" });
    row.append(label);
    if (task.name === "upscale") {
      const scale = Object.assign(document.createElement("select"), { name: "scale", title: "Times" });
      for (const times of [2, 3, 4]) scale.add(new Option(`${times} times`, times));
      row.append(scale);
    } else if (task.name !== "demosaic") {
      const strength = document.createElement("input");
      Object.assign(strength, { type: "range", min: 0, max: 1, step: 0.05, value: 1, name: `${task.name}-strength` });
      strength.title = "Strength";
      strength.setAttribute("aria-label", `Strength of ${task.name}`);
      const shown = Object.assign(document.createElement("output"), { textContent: "1.00" });
      strength.addEventListener("input", () => {
        shown.textContent = Number(strength.value).toFixed(2);
        box.checked = true;
        changeForm();
      });
      row.append(strength, shown);
    }
    row.dataset.task = name;
    $("steps").append(row);
  }
}

/** Tasks in the order in which they run: as `restore auto` runs them. */
function order() {
  return $("form").elements.denoise.checked ? limits.orders.noisy : limits.orders.plain;
}

function fields() {
  return [...$("form").elements].filter((field) => field.name);
}

function changeForm() {
  if (current) choices.set(current, new Map(fields().map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value])));
  drawActions();
}

/** The steps as `restore run` takes them. */
function steps() {
  const chosen = [];
  for (const task of order()) {
    const form = $("form").elements;
    if (!form[task].checked) continue;
    if (task === "upscale") chosen.push(`upscale:${form.scale.value}`);
    else if (task === "demosaic") chosen.push(task);
    else chosen.push(`${task}:strength=${form[`${task}-strength`].value}`);
  }
  return chosen.join(",");
}

/** What the user has chosen for the picture; before that, what the inspection advises. */
function fillForm(id) {
  const chosen = choices.get(id);
  const advised = new Set((pictures.get(id)?.facts?.advised ?? []).map((step) => step.task));
  for (const field of fields()) {
    if (field.type === "checkbox") field.checked = chosen?.get(field.name) ?? advised.has(field.name);
    else if (chosen) field.value = chosen.get(field.name);
    else if (field.type === "range") field.value = 1;
    const shown = field.parentElement.querySelector("output");
    if (shown && field.type === "range") shown.textContent = Number(field.value).toFixed(2);
  }
}

// ----------------------------------------------------------------------------------------------------------------- crop

function cropOf(id) {
  const { width, height } = pictures.get(id).facts;
  const wide = Math.min(CROP, width);
  const high = Math.min(CROP, height);
  const [x, y] = crops.get(id) ?? [0.5, 0.5];
  const place = (share, length, side) => Math.round(Math.min(Math.max(share * length - side / 2, 0), length - side));
  return [place(x, width, wide), place(y, height, high), wide, high];
}

function moveCrop(x, y) {
  if (!pictures.get(current)?.facts?.width) return;
  crops.set(current, [Math.min(Math.max(x, 0), 1), Math.min(Math.max(y, 0), 1)]);
  drawFrame();
}

function drawFrame() {
  const facts = pictures.get(current)?.facts;
  $("frame").hidden = !facts?.width;
  if (!facts?.width) return;
  const [left, top, width, height] = cropOf(current);
  const style = $("frame").style;
  style.left = `${(left / facts.width) * 100}%`;
  style.top = `${(top / facts.height) * 100}%`;
  style.width = `${(width / facts.width) * 100}%`;
  style.height = `${(height / facts.height) * 100}%`;
}

// ----------------------------------------------------------------------------------------------------------------- draw

function draw() {
  drawList();
  const picture = pictures.get(current);
  $("work").hidden = !picture;
  $("empty").hidden = pictures.size > 0;
  if (!picture) return;
  $("name").textContent = picture.name;
  drawFacts(picture);
  drawActions();
  const thumb = thumbOf(current);
  $("place").hidden = !thumb;
  if (thumb && $("thumb").getAttribute("src") !== thumb) $("thumb").src = thumb;
  drawFrame();
  drawWork();
}

function drawList() {
  const list = $("pictures");
  for (const item of [...list.children]) if (!pictures.has(item.dataset.id)) item.remove();
  for (const picture of pictures.values()) {
    let item = [...list.children].find((one) => one.dataset.id === picture.id);
    if (!item) {
      item = document.createElement("li");
      item.dataset.id = picture.id;
      const button = Object.assign(document.createElement("button"), { type: "button" });
      const words = document.createElement("span");
      words.append(Object.assign(document.createElement("b"), { textContent: picture.name }), document.createElement("small"));
      button.append(Object.assign(document.createElement("img"), { alt: "" }), words);
      button.addEventListener("click", () => select(picture.id));
      item.append(button);
      list.append(item);
    }
    const image = item.querySelector("img");
    const thumb = thumbOf(picture.id);
    if (thumb && image.getAttribute("src") !== thumb) image.src = thumb;
    item.querySelector("small").textContent = stateOf(picture.id);
    item.querySelector("button").setAttribute("aria-current", String(picture.id === current));
  }
}

function stateOf(id) {
  const last = jobs(id, "restore").at(-1) ?? jobs(id, "inspect").at(-1);
  if (!last) return "";
  if (last.state === "running" && last.total) return `${Math.floor((100 * last.done) / last.total)} %`;
  if (last.kind === "inspect") return { done: "", failed: "cannot be read" }[last.state] ?? "being read";
  return { waiting: "waiting", running: "running", done: "restored", failed: "failed", cancelled: "cancelled" }[last.state];
}

function drawFacts({ facts, bytes }) {
  if (!facts) {
    $("facts").textContent = "";
    $("words").replaceChildren();
    return;
  }
  const size = bytes > 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
  const parts = [`${facts.width} × ${facts.height} pixels`, facts.format, `${facts.bits} bits`, facts.is_grey ? "grey" : "colour", size];
  if (facts.pages > 1) parts.push(`${facts.pages} pages`);
  if (facts.profile) parts.push(facts.profile);
  $("facts").textContent = parts.join(", ");
  const words = [...(facts.words ?? [])];
  for (const step of facts.advised ?? []) words.push(`advised: ${step.task}, because of ${step.why}`);
  if (!facts.advised?.length) words.push("nothing to restore was found");
  if (facts.damage) words.push(`damaged: ${facts.damage}`);
  $("words").replaceChildren(...words.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

function drawActions() {
  for (const row of $("steps").querySelectorAll(".step")) {
    row.style.order = order().includes(row.dataset.task) ? order().indexOf(row.dataset.task) : 2; // denoise, unchecked
  }
  const isReady = Boolean(pictures.get(current)?.facts) && steps() !== "";
  for (const id of ["try", "restore", "restore-every"]) $(id).disabled = !isReady;
  $("restore-every").hidden = pictures.size < 2;
}

/** The progress or the result of the newest job of the picture. */
function drawWork() {
  const own = jobs(current);
  const last = own.at(-1);
  const running = own.findLast((work) => ["waiting", "running"].includes(work.state) && work.kind !== "inspect");
  $("progress").hidden = !running;
  if (running) {
    if (running.total) $("bar").value = running.done / running.total;
    else $("bar").removeAttribute("value");
    $("progress-text").textContent = running.state === "waiting" ? "waiting" : running.total ? `${running.done} of ${running.total}` : "loading";
    $("cancel").dataset.id = running.id;
  }
  $("error").hidden = last?.state !== "failed";
  if (last?.state === "failed") $("error").textContent = [last.reason, last.hint].filter(Boolean).join(". ");
  const whole = own.findLast((work) => work.kind === "restore" && work.result);
  $("result").hidden = !whole;
  if (whole) {
    $("download").href = `${session}/jobs/${whole.id}/result`;
    $("download").download = whole.result;
    $("result-text").textContent = [`${whole.width} × ${whole.height} pixels, ${whole.steps}, ${whole.seconds} s`, ...whole.notes].join("; ");
  }
  const shown = own.findLast((work) => work.views.includes("after"));
  if (shown && compared !== shown.id) {
    compared = shown.id;
    const pair = {
      before: `${session}/jobs/${shown.id}/before`,
      after: `${session}/jobs/${shown.id}/after`,
      places: shown.places,
      scale: shown.scale,
    };
    if (viewer) viewer.show(pair);
    else viewer = new Viewer($("viewer"), pair);
  } else if (!shown && viewer) {
    viewer.destroy();
    viewer = compared = null;
  }
}

// --------------------------------------------------------------------------------------------------------------- events

function receive({ pictures: changedPictures = [], works: changedWorks = [] }) {
  let isNewlyKnown = false;
  for (const picture of changedPictures) {
    if (picture.removed) {
      pictures.delete(picture.id);
      choices.delete(picture.id);
      crops.delete(picture.id);
      if (current === picture.id) current = null;
      continue;
    }
    isNewlyKnown ||= picture.id === current && picture.facts && !pictures.get(current)?.facts;
    pictures.set(picture.id, picture);
  }
  for (const work of changedWorks) works.set(work.id, work);
  if (!current && pictures.size) select(pictures.keys().next().value);
  else if (isNewlyKnown) fillForm(current);
  draw();
}

function step(by) {
  const ids = [...pictures.keys()];
  const next = ids[ids.indexOf(current) + by];
  if (next) select(next);
}

function start(id, region) {
  const format = $("format").value || null;
  return attempt(async () => {
    const work = await ask(`${session}/jobs`, { body: JSON.stringify({ picture: id, steps: steps(), region, format }) });
    if (!works.has(work.id)) works.set(work.id, work);
    draw();
  });
}

function listen() {
  $("files").addEventListener("change", (event) => {
    upload(event.target.files);
    event.target.value = "";
  });
  for (const type of ["dragenter", "dragover"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    dropped(event.dataTransfer);
  });
  document.addEventListener("click", (event) => event.target.closest("button") && forgive(), true);
  // The browser's own drag of a picture of this page would look like a new one.
  document.addEventListener("dragstart", (event) => event.preventDefault());
  $("form").addEventListener("change", changeForm);
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    start(current, cropOf(current));
  });
  $("restore").addEventListener("click", () => start(current, null));
  $("restore-every").addEventListener("click", () => {
    for (const [id, picture] of pictures) if (picture.facts) start(id, null);
  });
  $("cancel").addEventListener("click", (event) => attempt(() => ask(`${session}/jobs/${event.target.dataset.id}/cancel`)));
  $("remove").addEventListener("click", () => attempt(() => ask(`${session}/pictures/${current}/remove`)));
  const point = (event) => {
    const box = $("thumb").getBoundingClientRect();
    moveCrop((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  $("map").addEventListener("pointerdown", (event) => {
    $("map").setPointerCapture(event.pointerId);
    point(event);
  });
  $("map").addEventListener("pointermove", (event) => event.buttons === 1 && point(event));
  $("map").addEventListener("keydown", (event) => {
    const [x, y] = crops.get(current) ?? [0.5, 0.5];
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    moveCrop(x + by[0] * 0.02, y + by[1] * 0.02);
  });
  $("viewer").addEventListener("next", () => step(1));
  $("viewer").addEventListener("previous", () => step(-1));
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input:not([type=checkbox]), select, textarea, #map, #viewer");
    if (!isTyping && viewer && event.key !== "Enter" && event.key !== " ") viewer.key(event);
    if (event.key === "Escape" && !$("progress").hidden) $("cancel").click();
  });
  // Not sendBeacon: without a referrer, browsers may send it with the origin "null".
  window.addEventListener("pagehide", () => fetch(`${session}/close`, { method: "POST", body: "{}", keepalive: true }));
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
}

attempt(async () => {
  limits = await ask("sessions");
  session = limits.session;
  buildSteps();
  for (const [value, name] of [["", "as the source"], ["png", "PNG"], ["tif", "TIFF"], ["jpg", "JPEG"], ["webp", "WebP"]]) {
    $("format").add(new Option(name, value));
  }
  listen();
  const events = new EventSource(`${session}/events`);
  events.onopen = () => say("");
  events.onmessage = (event) => receive(JSON.parse(event.data));
  events.onerror = () => say("The server does not answer. Start `restore web` again, and open its new address.");
});
