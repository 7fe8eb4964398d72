-- Parameter files: CSV (RFC 4180) and JSON.
local core = require "iotix.core"
local errors = require "iotix.errors"
local json = require "iotix.json"
local options = require "iotix.options"

local data = {}

local max_bytes = 64 * 1024 * 1024

-- Fields of all records as lists of texts, with `line`, where the record begins · nil, message. Quoted fields may
-- hold separators, line ends and doubled
-- quotes; lines end in LF or CRLF; the last one may lack its end.
function data.parse_records(text, separator)
  local records, record = {}, { line = 1 }
  local at, line, size = 1, 1, #text
  local plain = "^([^" .. (separator == "\t" and "\t" or "%" .. separator) .. "\r\n\"]*)()"
  if text:sub(1, 3) == "\239\187\191" then -- byte-order mark
    at = 4
  end
  while at <= size do
    local field
    if text:sub(at, at) == '"' then
      local parts, from, opened = {}, at + 1, line
      while true do
        local quote = text:find('"', from, true)
        if not quote then
          return nil, ("line %d: a quoted field has no end"):format(opened)
        end
        parts[#parts + 1] = text:sub(from, quote - 1)
        from = quote + 1
        if text:sub(from, from) ~= '"' then
          break
        end
        parts[#parts + 1] = '"'
        from = from + 1
      end
      field, at = table.concat(parts), from
      line = line + select(2, field:gsub("\n", ""))
    else
      field, at = text:match(plain, at)
    end
    record[#record + 1] = field
    local follows = text:sub(at, at)
    if follows == separator then
      at = at + 1
      if at > size then
        record[#record + 1] = ""
      end
    elseif follows == "" or follows == "\n" or text:sub(at, at + 1) == "\r\n" then
      at = at + (follows == "\r" and 2 or 1)
      line = line + 1
      if #record > 1 or record[1] ~= "" then -- an empty line is no record
        records[#records + 1] = record
      end
      record = { line = line }
    else
      return nil, ("line %d: %s"):format(line, follows == '"' and "a quote inside a field that is not quoted"
        or follows == "\r" and "a carriage return without line feed" or "text after a quoted field")
    end
  end
  if #record > 0 then
    records[#records + 1] = record
  end
  return records
end

-- Rows by the names of the header (or lists without one) · nil, message.
function data.parse_csv(text, settings)
  settings = settings or {}
  local separator = settings.separator or ","
  local records, message = data.parse_records(text, separator)
  if not records then
    return nil, message
  end
  local function value(field)
    return settings.numbers and field:match "^%s*[-+]?%.?%d[%w.+-]*%s*$" and tonumber(field) or field
  end
  if settings.header == false then
    for _, record in ipairs(records) do
      for i, field in ipairs(record) do
        record[i] = value(field)
      end
      record.line = nil
    end
    return records
  end
  local header = table.remove(records, 1)
  if not header then
    return nil, "the file is empty: the first line must name the columns"
  end
  local seen = {}
  for _, name in ipairs(header) do
    if seen[name] then
      return nil, ("line %d: two columns are called %q"):format(header.line, name)
    end
    seen[name] = true
  end
  local rows = {}
  for n, record in ipairs(records) do
    if #record ~= #header then
      return nil, ("line %d: %d fields, but the header names %d"):format(record.line, #record, #header)
    end
    local row = {}
    for i, name in ipairs(header) do
      row[name] = value(record[i])
    end
    rows[n] = row
  end
  return rows
end

data.settings = {
  header = { type = "boolean", default = true, doc = "the first line of a CSV file names its columns" },
  separator = { type = "string", default = ",", doc = "between the fields of a CSV file, one character" },
  numbers = { type = "boolean", default = false, doc = "turn fields that are numbers into numbers" },
}

-- t:data. A file's content: *.json as a value, everything else as CSV.
function data.load(path, given)
  local settings = options.check("t:data", given, data.settings)
  if #settings.separator ~= 1 or settings.separator:find '[\r\n"]' then
    errors.raise('t:data: "separator" must be one character, neither a quote nor a line end')
  end
  local text, message = core.read_file(options.argument("t:data", "path", path, { type = "string" }), max_bytes)
  if not text then
    errors.raise("t:data: %s", message)
  end
  local value
  if path:lower():match "%.json$" then
    value, message = json.decode(text)
  else
    value, message = data.parse_csv(text, settings)
  end
  if value == nil then
    errors.raise("t:data: %s: %s", path, message)
  end
  return value
end

return data
