// Calls to the REST API. Every failure is a Problem, whether the server explained it or could not be reached at all.

/** What went wrong: title, detail (a sentence), status (0: no answer), errors [{path, message}]. */
export class Problem extends Error {
  constructor({ title, detail, status = 0, errors = [] }) {
    super(detail || title);
    this.title = title;
    this.detail = detail;
    this.status = status;
    this.errors = errors;
  }

  /** The message about one field of the body, or undefined. */
  field(name) {
    return this.errors.find((e) => plainPath(e.path) === name)?.message;
  }

  /** Messages that belong to none of these fields. */
  others(names) {
    return this.errors.filter((e) => !names.includes(plainPath(e.path)));
  }
}

const plainPath = (path) => String(path ?? "").replace(/^\$\.?|^\//, "");
const LIMIT_MS = 20000;

async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // not a problem document; the status has to do
  }
  return new Problem({
    title: body.title || `${response.status} ${response.statusText}`,
    detail: body.detail,
    status: response.status,
    errors: Array.isArray(body.errors) ? body.errors : [],
  });
}

async function call(method, path, body) {
  const options = { method, headers: { Accept: "application/json" }, signal: AbortSignal.timeout(LIMIT_MS) };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = typeof body === "string" ? body : JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Problem({
      title: late ? "No answer in time" : "The service can't be reached",
      detail: late ? `No answer within ${LIMIT_MS / 1000} s; it may still be working on it.` : "Is iotix serve running?",
    });
  }
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : response.json();
}

const enc = encodeURIComponent;

function query(values) {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== "") q.set(name, value);
  }
  const text = q.toString();
  return text ? `?${text}` : "";
}

const items = (list) => (Array.isArray(list) ? list : list.items || []);
const request = (method, path, body) => ({ method, path, body });

/** What calls send: {method, path, body}. A button's deed can be shown as such before it is done (`curl`). */
export const requests = {
  addModel: (text) => request("POST", "/api/v1/models", text),
  replaceModel: (id, text) => request("PUT", `/api/v1/models/${enc(id)}`, text),
  deleteModel: (id) => request("DELETE", `/api/v1/models/${enc(id)}`),
  addGroup: (body) => request("POST", "/api/v1/groups", body),
  startGroup: (id, body) => request("POST", `/api/v1/groups/${enc(id)}/start`, body),
  stopGroup: (id) => request("POST", `/api/v1/groups/${enc(id)}/stop`),
  dropout: (id, body) => request("POST", `/api/v1/groups/${enc(id)}/dropout`, body),
  deleteGroup: (id) => request("DELETE", `/api/v1/groups/${enc(id)}`),
  addDevice: (body) => request("POST", "/api/v1/devices", body),
  startDevice: (id) => request("POST", `/api/v1/devices/${enc(id)}/start`),
  stopDevice: (id) => request("POST", `/api/v1/devices/${enc(id)}/stop`),
  deleteDevice: (id) => request("DELETE", `/api/v1/devices/${enc(id)}`),
  command: (id, name, parameters) => request("POST", `/api/v1/devices/${enc(id)}/commands/${enc(name)}`, parameters),
};

const send = (one) => call(one.method, one.path, one.body);

export const api = {
  stats: () => call("GET", "/api/v1/stats"),
  history: (seconds) => call("GET", `/api/v1/stats/history${query({ seconds })}`),
  strategies: () => call("GET", "/api/v1/strategies"),
  preview: (body) => call("POST", "/api/v1/strategies/preview", body),
  models: async () => items(await call("GET", "/api/v1/models")),
  model: (id) => call("GET", `/api/v1/models/${enc(id)}`),
  checkModel: (text) => call("POST", "/api/v1/models?validate=true", text),
  groups: async () => items(await call("GET", "/api/v1/groups")),
  groupHistory: (id) => call("GET", `/api/v1/groups/${enc(id)}/history`),
  group: (id) => call("GET", `/api/v1/groups/${enc(id)}`),
  devices: (filter) => call("GET", `/api/v1/devices${query(filter)}`),
  device: (id) => call("GET", `/api/v1/devices/${enc(id)}`),
  deviceMetrics: (id) => call("GET", `/api/v1/devices/${enc(id)}/metrics`),
  /** … and each of `requests`, sent. */
  ...Object.fromEntries(Object.entries(requests).map(([name, make]) => [name, (...given) => send(make(...given))])),
};

const quoted = (text) => `'${String(text).replace(/'/g, "'\\''")}'`;

/** The request as a line for a shell, that does the same. */
export function curl({ method, path, body }) {
  const parts = ["curl", ...(method === "GET" ? [] : ["-X", method]), quoted(location.origin + path)];
  if (body !== undefined) {
    parts.push("-H", quoted("Content-Type: application/json"), "-d", quoted(typeof body === "string" ? body : JSON.stringify(body)));
  }
  return parts.join(" ");
}
