// Where things are in a JSON text: the line of every path, or of the fault that makes it no JSON.

/**
 * Returns { lines: Map of path → line (from 0), fault: null | { line, message } }. Paths are those of the server's
 * messages: "telemetry[0].generator.min"; the whole is "".
 */
export function locate(text) {
  const lines = new Map();
  let i = 0;
  let line = 0;

  class Fault extends Error {}
  const fail = (message) => {
    throw new Fault(message);
  };
  const space = () => {
    while (i < text.length && /[\s]/.test(text[i])) {
      if (text[i] === "\n") line++;
      i++;
    }
  };
  const seen = () => (i >= text.length ? "the text ends here" : `found ${JSON.stringify(text[i])}`);

  const string = () => {
    const start = i++;
    while (i < text.length && text[i] !== '"') {
      if (text[i] === "\n") fail("this text has no closing quotation mark");
      i += text[i] === "\\" ? 2 : 1;
    }
    if (i >= text.length) fail("this text has no closing quotation mark");
    i++;
    try {
      return JSON.parse(text.slice(start, i));
    } catch {
      return fail(`${text.slice(start, i)} is no text in JSON`);
    }
  };

  const members = (path, close, each) => {
    i++;
    space();
    if (text[i] === close) {
      i++;
      return;
    }
    for (let k = 0; ; k++) {
      space();
      each(k);
      space();
      if (text[i] === close) {
        i++;
        return;
      }
      if (text[i] !== ",") fail(`expected a comma or ${close}, ${seen()}`);
      i++;
      const at = line;
      space();
      if (text[i] === close) {
        line = at;
        fail(`nothing follows this comma, before ${close}`);
      }
    }
  };

  const value = (path) => {
    space();
    if (!lines.has(path)) lines.set(path, line);
    const c = text[i];
    if (c === "{") {
      members(path, "}", () => {
        if (text[i] !== '"') fail(`expected a name in quotation marks, ${seen()}`);
        const at = line;
        const name = string();
        const inner = path ? `${path}.${name}` : name;
        lines.set(inner, at);
        space();
        if (text[i] !== ":") fail(`expected a colon after "${name}", ${seen()}`);
        i++;
        value(inner);
      });
    } else if (c === "[") {
      members(path, "]", (k) => value(`${path}[${k}]`));
    } else if (c === '"') {
      string();
    } else {
      const word = /^(true|false|null|-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?)(?![\w.])/.exec(text.slice(i, i + 400));
      if (!word) fail(`expected a value, ${seen()}`);
      i += word[0].length;
    }
  };

  try {
    value("");
    space();
    if (i < text.length) fail(`nothing may follow the end, ${seen()}`);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { lines, fault: { line, message: error.message } };
  }
  return { lines, fault: null };
}

/** The line of a path, or of the nearest thing around it. */
export function lineOf(lines, path) {
  let at = String(path ?? "").replace(/^\$\.?/, "");
  for (;;) {
    if (lines.has(at)) return lines.get(at);
    const cut = Math.max(at.lastIndexOf("."), at.lastIndexOf("["));
    if (cut <= 0) return lines.get("") ?? 0;
    at = at.slice(0, cut);
  }
}
