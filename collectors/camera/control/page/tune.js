"use strict";

const $ = (id) => document.getElementById(id);
const VIEWS = ["frame", "changed", "difference", "background"];
const POLL_MS = 400;

let token = sessionStorage.getItem("token") || "";
let settings = [];
let file = "";
let pending = null;

class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

async function ask(path, method = "GET") {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { method, headers, cache: "no-store", credentials: "omit" });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({ error: answer.statusText }));
    throw new Refused(answer.status, problem.error);
  }
  return answer;
}

const query = () => new URLSearchParams(settings.map((each) => [each.name, String(each.value)])).toString();
const differs = (each) => each.value !== each.used;

// --- the scale of a slider: by factors where the range is wide, so that small values can be chosen ---

const isWide = (each) => each.low > 0 && each.high / each.low > 100;
const toSlider = (each, value) =>
  1000 * (isWide(each) ? Math.log(value / each.low) / Math.log(each.high / each.low) : (value - each.low) / (each.high - each.low));
function fromSlider(each, position) {
  const share = position / 1000;
  const value = isWide(each) ? each.low * (each.high / each.low) ** share : each.low + share * (each.high - each.low);
  return each.whole ? Math.round(value) : Number(value.toPrecision(value < 10 ? 2 : 3));
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function build(each) {
  each.value = each.tried;
  const id = `set-${each.name}`;
  const box = element("div", { class: "setting" });
  const row = element("div", { class: "row" }, element("label", { for: id }, each.name));
  const help = element("p", { id: `${id}-help` }, each.help);
  if (each.fixed_by) help.append(` ${each.fixed_by} or an option sets it, so that it cannot be saved here.`);
  const field = element("input", { id, "aria-describedby": `${id}-help` });
  if (each.text) {
    Object.assign(field, { type: "text", spellcheck: false, autocomplete: "off" });
    field.addEventListener("change", () => set(each, field.value.trim()));
    box.append(row, help, field);
    each.show = () => { field.value = each.value; };
  } else {
    Object.assign(field, { type: "number", min: each.low, max: each.high, step: each.whole ? 1 : "any", inputMode: "decimal" });
    field.addEventListener("change", () => {
      const value = field.valueAsNumber;
      if (Number.isFinite(value)) set(each, Math.min(each.high, Math.max(each.low, each.whole ? Math.round(value) : value)));
      else each.show();
    });
    const slider = element("input", { type: "range", min: 0, max: 1000, step: 1, "aria-label": each.name });
    slider.addEventListener("input", () => set(each, fromSlider(each, slider.valueAsNumber)));
    row.append(field);
    box.append(row, slider, help);
    each.show = () => {
      field.value = each.value;
      if (document.activeElement !== slider) slider.value = toSlider(each, each.value);
      slider.setAttribute("aria-valuetext", String(each.value));
    };
  }
  each.mark = () => box.classList.toggle("changed", differs(each));
  $("settings").append(box);
  each.show();
  each.mark();
}

function set(each, value) {
  each.value = value;
  each.show();
  each.mark();
  refreshButtons();
  clearTimeout(pending);
  pending = setTimeout(() => attempt("tune_try"), 150);
}

function refreshButtons() {
  const any = settings.some(differs);
  for (const id of ["reset", "use", "save"]) $(id).disabled = !any;
}

async function attempt(path, done = "") {
  clearTimeout(pending);
  try {
    await ask(`${path}?${query()}`, "POST");
    if (path !== "tune_try") for (const each of settings) each.used = each.value;
    for (const each of settings) each.mark();
    $("message").textContent = done;
  } catch (error) {
    $("message").textContent = error.message;
  }
  refreshButtons();
}

function describe(seen) {
  if (!seen) return "Learning the background";
  const numbers = `${seen.changed_percent} % changed, threshold ${seen.threshold}, noise ${seen.noise}`;
  if (seen.moving) return `Motion: ${seen.area_percent} %, score ${seen.score}; ${numbers}`;
  return `No motion; ${numbers}`;
}

async function refresh() {
  const state = await (await ask("tune_state")).json();
  if (!settings.length) {
    settings = state.settings;
    settings.forEach(build);
    refreshButtons();
    for (const id of ["tuning", "actions"]) $(id).hidden = false;
    $("login").hidden = true;
  }
  file = state.file;
  $("verdict").textContent = describe(state.seen);
  $("verdict").classList.toggle("moving", Boolean(state.seen && state.seen.moving));
  for (const name of VIEWS) {
    const picture = await (await ask(`tune_picture?view=${name}`)).blob();
    const before = $(name).src;
    $(name).src = URL.createObjectURL(picture);
    await $(name).decode().catch(() => undefined);
    if (before) URL.revokeObjectURL(before);
  }
}

async function run() {
  for (;;) {
    if (!document.hidden) {
      try {
        await refresh();
      } catch (error) {
        $("verdict").textContent = error.message;
        $("verdict").classList.remove("moving");
        if (error.status === 401) {
          if (token) $("verdict").textContent = "This token is not the camera's";
          sessionStorage.removeItem("token");
          $("login").hidden = false;
          for (const id of ["tuning", "actions"]) $(id).hidden = true;
          await new Promise((resolve) => $("login").addEventListener("submit", resolve, { once: true }));
        }
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  sessionStorage.setItem("token", token);
});
$("reset").addEventListener("click", () => {
  for (const each of settings) {
    each.value = each.used;
    each.show();
    each.mark();
  }
  attempt("tune_try");
});
$("use").addEventListener("click", () => attempt("tune_use", "The camera uses these settings until it is restarted."));
$("save").addEventListener("click", () => {
  $("file").textContent = file;
  $("changes").replaceChildren(
    ...settings.filter(differs).map((each) => element("li", {}, element("code", {}, `${each.name} = ${each.value}`))),
  );
  $("confirm").showModal();
});
$("confirm").addEventListener("close", () => {
  if ($("confirm").returnValue === "save") attempt("tune_save", `Saved to ${file}.`);
  $("confirm").returnValue = "";
});
run();
