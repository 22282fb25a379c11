// A route of the description, as an element that opens.

import { element, paragraphs, preformatted, prose, table } from "./elements.js";
import { UNKNOWN_TEXT, boundsOf, exampleOf, objectBehind, resolved, typeOf } from "./schema.js";

function parameterTable(parameters, schemas) {
  const rows = parameters.map((one) => {
    const schema = resolved(one.schema, schemas);
    const preset = schema.default;
    const details = [
      // A parameter that is not given is null, which no client can send.
      typeOf(one.schema, schemas).replace(" or null", ""),
      boundsOf(schema),
      preset === undefined || preset === null || preset === "" ? "" : `by default ${preset}`,
    ].filter((text) => text !== "");
    return [
      element("code", {}, one.name),
      one.required ? `${one.in}, required` : one.in,
      details.join("; "),
      prose(one.description ?? ""),
    ];
  });
  return table(["name", "in", "value", "what"], rows);
}

const FIELDS_DEPTH_MAX = 3;

function fieldTable(schema, schemas, depth = 0) {
  const found = objectBehind(schema, schemas);
  if (found === null || depth > FIELDS_DEPTH_MAX) {
    return null;
  }
  const required = new Set(found.required ?? []);
  const rows = Object.entries(found.properties).map(([name, one]) => {
    const own = resolved(one, schemas);
    const inner = objectBehind(one, schemas) === null ? null : fieldTable(one, schemas, depth + 1);
    const bounds = boundsOf(own);
    return [
      [element("code", {}, name), required.has(name) ? "" : element("span", { class: "quiet" }, " optional")],
      bounds === "" ? typeOf(one, schemas) : `${typeOf(one, schemas)}; ${bounds}`,
      [
        element("span", {}, prose(one.description ?? own.description ?? "")),
        inner === null
          ? null
          : element("details", {}, element("summary", {}, `the fields of ${name}`), inner),
      ],
    ];
  });
  return table(["field", "value", "what"], rows);
}

function contents(content, schemas) {
  return Object.entries(content ?? {}).flatMap(([mediaType, one]) => {
    const example = one.example ?? exampleOf(one.schema, schemas);
    const shown = typeof example === "string" ? null : JSON.stringify(example, null, 2);
    return [
      element("p", {}, element("code", {}, mediaType), ` ${typeOf(one.schema ?? {}, schemas)}`),
      fieldTable(one.schema ?? {}, schemas),
      shown === null
        ? null
        : element("details", {}, element("summary", {}, "an example"), preformatted(shown)),
    ];
  });
}

function answers(operation, schemas) {
  return Object.entries(operation.responses)
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([status, answer]) => {
      const isGood = status.startsWith("2");
      const heading = element("summary", {}, element("code", {}, status), ` ${answer.description}`);
      const headers = Object.keys(answer.headers ?? {});
      const attributes = isGood ? { open: "" } : {};
      return element(
        "details",
        attributes,
        heading,
        headers.length === 0 ? null : element("p", {}, `with the header ${headers.join(", ")}`),
        contents(answer.content, schemas),
      );
    });
}

// Returns a text as one word of a shell.
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// Returns a value of a parameter; its name in capitals where the description has no example.
function queryValue(parameter, schemas) {
  const example = parameter.example ?? exampleOf(parameter.schema, schemas);
  return example === UNKNOWN_TEXT ? parameter.name.toUpperCase() : encodeURIComponent(example);
}

// Returns a command that asks for a route, with the parameters that it must have.
function command(method, path, operation, schemas) {
  const given = (operation.parameters ?? []).filter((one) => one.required);
  const base = new URL(".", document.baseURI).href;
  const url = base + path.slice(1).replace(/{(\w+)}/g, (_, name) => name.toUpperCase());
  const query = given.filter((one) => one.in === "query");
  const search = query.map((one) => `${one.name}=${queryValue(one, schemas)}`).join("&");
  const words = ["curl -s"];
  if (method !== "get") {
    words.push(`-X ${method.toUpperCase()}`);
  }
  if (operation.security !== undefined) {
    words.push('-H "Authorization: Bearer $TOKEN"');
  }
  const body = operation.requestBody?.content?.["application/json"];
  if (body !== undefined) {
    words.push(`--json ${quoted(JSON.stringify(exampleOf(body.schema, schemas, true)))}`);
  }
  words.push(quoted(search === "" ? url : `${url}?${search}`));
  return words.join(" ");
}

// Returns the element of a route.
//
// route: its id, method, path and operation, as the description has it.
// schemas: the schemas of the description by name.
export function routeElement(route, schemas) {
  const { method, path, operation } = route;
  const scopes = (operation.security ?? []).flatMap((one) => Object.values(one).flat());
  const summary = element(
    "summary",
    {},
    element("span", { class: "method" }, method.toUpperCase()),
    element("code", {}, path),
    element("span", { class: "quiet" }, ` ${operation.summary ?? ""}`),
  );
  const parts = [paragraphs(operation.description ?? "")];
  if (scopes.length > 0) {
    parts.push(element("p", {}, `Needs a token with the scope ${scopes.join(" or ")}.`));
  }
  if (operation.parameters?.length) {
    parts.push(element("h3", {}, "Parameters"), parameterTable(operation.parameters, schemas));
  }
  if (operation.requestBody !== undefined) {
    parts.push(element("h3", {}, "Body"), contents(operation.requestBody.content, schemas));
  }
  parts.push(element("h3", {}, "Answers"), answers(operation, schemas));
  parts.push(element("h3", {}, "Ask"), preformatted(command(method, path, operation, schemas)));
  return element("details", { class: "route", id: route.id }, summary, element("div", {}, ...parts));
}
