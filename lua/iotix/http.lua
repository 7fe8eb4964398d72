-- HTTP requests of a scenario, to look at a backend from its other side.
local errors = require "iotix.errors"
local host = require "iotix.host"
local json = require "iotix.json"
local options = require "iotix.options"

local http = {}

http.methods = { "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS" }

http.options = {
  url = { type = "string", required = true, doc = "http:// or https:// address" },
  method = { type = "string", values = http.methods, doc = "default: GET, POST with a body" },
  headers = { type = "table", doc = "request headers by name" },
  body = { type = "string", doc = "request body" },
  json = { type = "any", doc = "request body as a value; sets Content-Type" },
  timeout = { type = "duration", default = "10s", min = 0.001, doc = "for the whole request" },
}

-- A response: status, headers (names in lower case), body, latencyMs, and json: the decoded body, nil if it is none.
local Response = {}

function Response.__index(response, key)
  if key == "json" then
    local value = json.decode(response.body)
    rawset(response, "json", value)
    return value
  end
end

function http.request(given)
  if type(given) == "string" then
    given = { url = given }
  end
  local wanted = options.check("t:http", given, http.options)
  local headers, body = {}, wanted.body
  for name, value in pairs(wanted.headers or {}) do
    if type(name) ~= "string" or type(value) ~= "string" and type(value) ~= "number" then
      errors.raise("t:http: headers are written { Name = \"text\" }, not %s = %s", tostring(name), options.shown(value))
    end
    headers[name] = tostring(value)
  end
  if wanted.json ~= nil then
    if body then
      errors.raise 't:http: give "body" or "json", not both'
    end
    local problem
    body, problem = json.encode(wanted.json)
    if not body then
      errors.raise("t:http: json: %s", problem)
    end
    headers["Content-Type"] = headers["Content-Type"] or "application/json"
  end
  return setmetatable(host.call("t:http", "http.request", {
    method = wanted.method or (body and "POST" or "GET"),
    url = wanted.url,
    headers = headers,
    body = body,
    timeoutMs = wanted.timeout * 1000,
  }), Response)
end

return http
