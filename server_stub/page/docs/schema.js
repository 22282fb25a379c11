// What a schema of the description means: its type in words, its fields, and an example.

const DEPTH_MAX = 6; // of a schema that refers to itself

export const UNKNOWN_TEXT = "…"; // in an example, where the description gives none

// Returns a schema without its reference.
//
// schemas: the schemas of the description by name.
export function resolved(schema, schemas) {
  const name = schema?.$ref?.split("/").pop();
  return name === undefined ? (schema ?? {}) : (schemas[name] ?? {});
}

// Returns what a value of a schema is, in a few words: "string or null", "list of Metric".
export function typeOf(schema, schemas, depth = 0) {
  const name = schema?.$ref?.split("/").pop();
  if (name !== undefined) {
    return name;
  }
  const choices = schema.anyOf ?? schema.oneOf;
  if (depth > DEPTH_MAX) {
    return "…";
  }
  if (choices !== undefined) {
    return [...new Set(choices.map((one) => typeOf(one, schemas, depth + 1)))].join(" or ");
  }
  const values = "const" in schema ? [schema.const] : schema.enum;
  if (values !== undefined) {
    return values.map((value) => JSON.stringify(value)).join(", ");
  }
  if (schema.type === "array") {
    return listType(schema, schemas, depth);
  }
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return `object of ${typeOf(schema.additionalProperties, schemas, depth + 1)}`;
  }
  return schema.type ?? "any";
}

function listType(schema, schemas, depth) {
  if (schema.prefixItems !== undefined) {
    return `[${schema.prefixItems.map((one) => typeOf(one, schemas, depth + 1)).join("; ")}]`;
  }
  return `list of ${typeOf(schema.items ?? {}, schemas, depth + 1)}`;
}

const BOUNDS = [
  ["minimum", "at least"],
  ["exclusiveMinimum", "more than"],
  ["maximum", "at most"],
  ["minLength", "characters at least"],
  ["maxLength", "characters at most"],
  ["minItems", "items at least"],
  ["maxItems", "items at most"],
  ["pattern", "matches"],
];

const PATTERN_CHARACTERS_MAX = 60; // a longer one explains nothing

// Returns what bounds a value of a schema, in words; an empty text without bounds.
export function boundsOf(schema) {
  const bounded = [schema, ...(schema.anyOf ?? [])];
  const words = bounded.flatMap((one) =>
    BOUNDS.filter(([key]) => key in one)
      .filter(([key]) => String(one[key]).length <= PATTERN_CHARACTERS_MAX)
      .map(([key, word]) => `${word} ${one[key]}`),
  );
  return [...new Set(words)].join(", ");
}

// Returns the fields of the objects that are behind a schema, if there are any: what is in a list, and
// the first choice that is an object.
export function objectBehind(schema, schemas, depth = 0) {
  const own = resolved(schema, schemas);
  if (own.properties !== undefined || depth > DEPTH_MAX) {
    return own.properties === undefined ? null : own;
  }
  const inner = [...(own.anyOf ?? own.oneOf ?? []), own.items, own.additionalProperties];
  for (const one of inner) {
    const found = typeof one === "object" ? objectBehind(one, schemas, depth + 1) : null;
    if (found !== null) {
      return found;
    }
  }
  return null;
}

// Returns a value that fits a schema: its example, or one made of the examples of its parts.
//
// isShort: whether objects have only the fields that they must have.
export function exampleOf(schema, schemas, isShort = false, depth = 0) {
  const own = resolved(schema, schemas);
  if (own.examples?.length) {
    return own.examples[0];
  }
  const given = ["example", "const", "default"].find((key) => own[key] !== undefined && own[key] !== null);
  if (given !== undefined) {
    return own[given];
  }
  if (own.enum !== undefined) {
    return own.enum[0];
  }
  if (depth > DEPTH_MAX) {
    return null;
  }
  const choices = own.anyOf ?? own.oneOf;
  if (choices !== undefined) {
    return exampleOf(choices[0], schemas, isShort, depth + 1);
  }
  return exampleOfType(own, schemas, isShort, depth);
}

function exampleOfType(schema, schemas, isShort, depth) {
  switch (schema.type) {
    case "object": {
      const fields = Object.entries(schema.properties ?? {});
      const shown = fields.filter(([name]) => !isShort || schema.required?.includes(name));
      return Object.fromEntries(
        shown.map(([name, one]) => [name, exampleOf(one, schemas, isShort, depth + 1)]),
      );
    }
    case "array":
      if (schema.prefixItems !== undefined) {
        return schema.prefixItems.map((one) => exampleOf(one, schemas, isShort, depth + 1));
      }
      return [exampleOf(schema.items ?? {}, schemas, isShort, depth + 1)];
    case "integer":
    case "number":
      return schema.minimum ?? 0;
    case "boolean":
      return false;
    case "string":
      return UNKNOWN_TEXT;
    default:
      return null;
  }
}
