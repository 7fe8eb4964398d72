-- Renders the description of the API (lua/iotix/api.lua) and of the shipped strategies and generators.
local options = require "iotix.options"
local strategy = require "iotix.strategy"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function cell(text)
  return (text:gsub("|", "\\|"))
end

-- A value as one writes it in Lua.
local function literal(value)
  if type(value) == "string" then
    return ("%q"):format(value)
  elseif type(value) == "table" then
    return "{}"
  end
  return ("%.6g"):format(value)
end

local function default_of(spec)
  if spec.required then
    return "required"
  elseif spec.default == nil then
    return "–"
  elseif type(spec.default) == "boolean" then
    return "`" .. tostring(spec.default) .. "`"
  end
  return "`" .. literal(spec.default) .. "`"
end

local function range_of(spec)
  if spec.values then
    return " (`" .. table.concat(spec.values, " ") .. "`)"
  elseif spec.min and spec.max then
    return (" (%s to %s)"):format(spec.min, spec.max)
  elseif spec.min and spec.min ~= 0 then
    return (" (at least %s)"):format(spec.min)
  end
  return ""
end

local function option_table(specs)
  local lines = { "| option | type | default | meaning |", "|---|---|---|---|" }
  for _, name in ipairs(options.sorted_keys(specs)) do
    local spec = specs[name]
    lines[#lines + 1] = ("| `%s` | %s | %s | %s |"):format(name, cell((spec.type:gsub("|", " or "))), default_of(spec),
      cell(spec.doc .. range_of(spec)))
  end
  return table.concat(lines, "\n")
end

-- The comment at the top of a file, as lines without dashes.
local function header(path)
  local lines = {}
  for line in read(path):gmatch "([^\n]*)\n" do
    local text = line:match "^%-%- ?(.*)"
    if not text then
      break
    end
    lines[#lines + 1] = text
  end
  return lines
end

-- Prose as a paragraph, indented lines (formulas) as a block.
local function prose(lines)
  local out, block = {}, false
  for _, line in ipairs(lines) do
    local indented = line:match "^  "
    if (indented ~= nil) ~= block then
      out[#out + 1] = indented and "```text" or "```"
      block = indented ~= nil
    end
    out[#out + 1] = indented and line:sub(3) or line
  end
  if block then
    out[#out + 1] = "```"
  end
  return table.concat(out, "\n")
end

local function strategies()
  local out = {}
  for _, kind in ipairs { "launch", "dropout" } do
    for _, name in ipairs(strategy.built_in[kind]) do
      out[#out + 1] = ("### %s: %s%s"):format(kind, name, strategy.defaults[kind] == name and " (default)" or "")
      out[#out + 1] = prose(header(("lua/strategies/%s/%s.lua"):format(kind, name)))
      local settings = assert(strategy.find(kind, name)).settings
      if next(settings) then
        out[#out + 1] = option_table(settings)
      end
    end
  end
  return table.concat(out, "\n\n")
end

-- Settings as they stand in a handler's source: name = { type = "…", default = …, doc = "…" }.
local function settings_of_source(path)
  local lines = { "| option | default | meaning |", "|---|---|---|" }
  for name, body in read(path):gmatch '\n  (%w+) = (%b{}),' do
    local doc = body:match 'doc = "(.-)"'
    if doc then
      lines[#lines + 1] = ("| `%s` | %s | %s |"):format(name, body:match "default = ([^,]+)," and
        "`" .. body:match "default = ([^,]+)," .. "`" or "–", cell(doc))
    end
  end
  return #lines > 2 and table.concat(lines, "\n") or ""
end

local function handlers(kind, names)
  local out = {}
  for _, name in ipairs(names) do
    local path = ("lua/%s/%s.lua"):format(kind, name)
    out[#out + 1] = ("### %s"):format(name)
    out[#out + 1] = prose(header(path))
    out[#out + 1] = settings_of_source(path)
  end
  return (table.concat(out, "\n\n"):gsub("\n\n\n+", "\n\n"))
end

local function signature(f)
  if #(f.args or {}) == 1 and f.args[1].options and not f.args[1].optional then
    return f.name .. " { … }"
  end
  local names = {}
  for i, argument in ipairs(f.args or {}) do
    names[i] = argument.optional and "[" .. argument.name .. "]" or argument.name
  end
  return f.name .. "(" .. table.concat(names, ", ") .. ")"
end

local function describe(f)
  local out = { ("#### `%s`"):format(signature(f)), f.text }
  local list = {}
  for _, argument in ipairs(f.args or {}) do
    if not argument.options then
      list[#list + 1] = ("- `%s` (%s): %s"):format(argument.name, argument.type:gsub("?$", ""), argument.text)
    end
  end
  for _, value in ipairs(f.returns or {}) do
    list[#list + 1] = ("- returns %s%s"):format((value[1]:gsub("iotix%.", ""):gsub("?$", "")), value[2] ~= "" and ": " .. value[2] or "")
  end
  if f.errors then
    list[#list + 1] = "- errors: " .. f.errors
  end
  if #list > 0 then
    out[#out + 1] = table.concat(list, "\n")
  end
  for _, argument in ipairs(f.args or {}) do
    if argument.options then
      out[#out + 1] = option_table(argument.options)
      if argument.more then
        out[#out + 1] = "Also: " .. argument.more .. "."
      end
    end
  end
  if f.example then
    out[#out + 1] = "```lua\n" .. f.example .. "\n```"
  end
  return table.concat(out, "\n\n")
end

local function functions(api)
  local out = {}
  for _, section in ipairs(api) do
    out[#out + 1] = "### " .. section.title
    out[#out + 1] = section.text
    if section.fields then
      local list = {}
      for i, field in ipairs(section.fields) do
        list[i] = ("- `%s.%s` (%s): %s"):format(section.variable, field[1], (field[2]:gsub("iotix%.", "")), field[3])
      end
      out[#out + 1] = table.concat(list, "\n")
    end
    for _, f in ipairs(section.functions) do
      out[#out + 1] = describe(f)
    end
  end
  return table.concat(out, "\n\n")
end

local render = {}

render.generators = { "ecg_generator", "random_walk", "daily_cycle" }
render.behaviors = { "firmware_update", "battery" }

-- The text of lua/README.md.
function render.readme(api)
  local parts = {
    strategies = strategies(),
    generators = handlers("generators", render.generators),
    behaviors = handlers("behaviors", render.behaviors),
    functions = functions(api),
  }
  return "<!-- Written by lua/tools/docs.lua from lua/tools/README.in.md and lua/iotix/api.lua: edit those. -->\n"
    .. read "lua/tools/README.in.md":gsub("<!%-%- (%w+) %-%->", parts)
end

local stub_types = { duration = "string|number", count = "integer|string", list = "table[]", ["function"] = "function",
  string = "string", number = "number", integer = "integer", boolean = "boolean", table = "table", any = "any" }

local function stub_type(spec)
  if spec.values then
    local words = {}
    for i, word in ipairs(spec.values) do
      words[i] = ("%q"):format(word)
    end
    return table.concat(words, "|")
  end
  local types = {}
  for kind in spec.type:gmatch "[^|]+" do
    types[#types + 1] = stub_types[kind]
  end
  return table.concat(types, "|")
end

-- The text of lua/types/iotix.lua, for the Lua language server.
function render.stubs(api)
  local out = { "---@meta iotix", "-- Written by lua/tools/docs.lua from lua/iotix/api.lua: edit that.", "" }
  local function line(format, ...)
    out[#out + 1] = format:format(...)
  end
  local function options_class(class, specs, more)
    line("---@class %s", class)
    for _, name in ipairs(options.sorted_keys(specs)) do
      line("---@field %s%s %s %s", name, specs[name].required and "" or "?", stub_type(specs[name]), specs[name].doc)
    end
    if more then
      line "---@field strategy? string|function"
      line "---@field [string] any"
    end
    line ""
  end
  local function stub(section, f)
    local class = (section.class or "iotix") .. "." .. f.name:match "%w+$"
    for _, argument in ipairs(f.args or {}) do
      if argument.options then
        options_class(class .. "." .. argument.name, argument.options, argument.more)
      end
    end
    line("---%s", (f.text:gsub("\n", " ")))
    local names = {}
    for _, argument in ipairs(f.args or {}) do
      if argument.name == "..." then
        line("---@param ... any %s", argument.text)
      elseif argument.options then
        line("---@param %s%s %s.%s%s", argument.name, argument.optional and "?" or "", class, argument.name,
          f.name == "t:http" and "|string" or "")
      else
        line("---@param %s%s %s %s", argument.name, argument.optional and "?" or "", argument.type, argument.text)
      end
      names[#names + 1] = argument.name
    end
    for _, value in ipairs(f.returns or {}) do
      line("---@return %s # %s", value[1], value[2])
    end
    local name = section.class and section.class:gsub("^iotix%.", "") .. f.name:match "[:.][%w_]+$" or f.name
    line("function %s(%s) end", name, table.concat(names, ", "))
    line ""
  end
  line "---@class iotix\n---@field version string"
  line "local iotix = { json = { null = nil }, metric = {}, options = {} }\n"
  for _, section in ipairs(api) do
    if section.class then
      line("---%s", section.text:gsub("\n", " "))
      line("---@class %s", section.class)
      for _, field in ipairs(section.fields or {}) do
        line("---@field %s %s %s", field[1], field[2], field[3])
      end
      line("local %s = {}\n", section.class:match "[^.]+$")
    end
    for _, f in ipairs(section.functions) do
      stub(section, f)
    end
  end
  out[#out + 1] = "return iotix\n"
  return table.concat(out, "\n")
end

return render
