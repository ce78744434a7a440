// The API's document in Swagger UI. Where the server needs a key, its reader is asked for one, which only this page's memory holds.
"use strict";

const root = document.getElementById("api");
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const MANY = 3; // endpoints, beyond which each is folded up

async function load(key) {
  const answer = await fetch("/openapi.json", key ? { headers: { authorization: `Bearer ${key}` } } : {});
  const found = await answer.json();
  if (answer.status === 401) return ask(key ? "this key is not known" : "");
  if (answer.status === 403) return ask(`${found.what}; ${found.fix}`);
  if (!answer.ok) return say(found.what);
  show(found, key);
}

function show(spec, key) {
  const endpoints = spec.tags.length - 1;
  document.title = endpoints === 1 ? `${spec.tags[0].name} · Noria` : spec.info.title;
  root.replaceChildren();
  const ui = SwaggerUIBundle({
    spec,
    domNode: root,
    deepLinking: true,
    docExpansion: endpoints > MANY ? "none" : "list",
    filter: endpoints > MANY,
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    syntaxHighlight: !/"externalValue":"[^"]*[.]json"/.test(JSON.stringify(spec)), // of a large tensor it takes minutes
    validatorUrl: null,
    onComplete: () => key && ui.preauthorizeApiKey("bearer", key),
  });
}

function ask(refusal) {
  const form = document.createElement("form");
  form.className = "key";
  const label = form.appendChild(document.createElement("label"));
  label.textContent = refusal ? `An API key is needed: ${refusal}` : "An API key is needed";
  const field = label.appendChild(document.createElement("input"));
  field.type = "password";
  field.autocomplete = "off";
  form.appendChild(document.createElement("button")).textContent = "Open";
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    load(field.value.trim());
  });
  root.replaceChildren(form);
  field.focus();
}

function say(words) {
  const told = document.createElement("p");
  told.className = "refused";
  told.textContent = words;
  root.replaceChildren(told);
}

load("");
