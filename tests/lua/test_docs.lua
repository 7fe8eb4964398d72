-- Every public function is described, and the files made from the descriptions are up to date.
require "tests.lua.fake_core"
local api = require "iotix.api"
local iotix = require "iotix"
local luaunit = require "luaunit"
local render = dofile "lua/tools/render.lua"

local classes = {
  T = require("iotix.t").class,
  Fleet = require("iotix.fleet").class,
  Device = require("iotix.device").class,
  Dropout = require("iotix.dropout").class,
  Subscription = require("iotix.subscription").class,
  Ledger = require("iotix.observe").class,
  Task = require("iotix.task").class,
  Metric = getmetatable(iotix.metric.counter "docs").__index,
}

local function described(section)
  local names = {}
  for _, f in ipairs(section.functions) do
    names[f.name:match "[%w_]+$"] = f
  end
  return names
end

local function section_of(class)
  for _, section in ipairs(api) do
    if section.class == "iotix." .. class then
      return section
    end
  end
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

TestDescriptions = {}

function TestDescriptions:test_methods_and_descriptions_agree()
  for class, methods in pairs(classes) do
    local names = described(assert(section_of(class), class))
    for name, f in pairs(methods) do
      if type(f) == "function" and not name:match "^_" then
        luaunit.assertNotNil(names[name], class .. ":" .. name .. " has no description")
      end
    end
    for name in pairs(names) do
      luaunit.assertIsFunction(methods[name], class .. ":" .. name .. " does not exist")
    end
  end
end

function TestDescriptions:test_functions_of_the_module()
  local names = {}
  for _, f in ipairs(api[1].functions) do
    names[f.name] = true
    local value = iotix
    for part in f.name:match("^iotix%.(.*)"):gmatch "[^.]+" do
      value = value[part]
    end
    luaunit.assertIsFunction(value, f.name)
  end
  luaunit.assertTrue(names["iotix.scenario"])
  for _, module in ipairs { "metric", "json" } do
    for name, f in pairs(iotix[module]) do
      luaunit.assertTrue(type(f) ~= "function" or names["iotix." .. module .. "." .. name], module .. "." .. name)
    end
  end
end

function TestDescriptions:test_every_argument_option_and_result_says_something()
  for _, section in ipairs(api) do
    for _, f in ipairs(section.functions) do
      luaunit.assertTrue(#f.text > 10, f.name)
      for _, argument in ipairs(f.args or {}) do
        luaunit.assertTrue(argument.options ~= nil or #argument.text > 0, f.name .. " " .. argument.name)
        for name, spec in pairs(argument.options or {}) do
          luaunit.assertTrue(spec.doc ~= nil and #spec.doc > 5, f.name .. " " .. name)
        end
      end
    end
  end
end

function TestDescriptions:test_examples_compile()
  for _, section in ipairs(api) do
    for _, f in ipairs(section.functions) do
      luaunit.assertTrue(f.example == nil or loadstring(f.example) ~= nil, f.name)
    end
  end
end

TestFiles = {}

local remedy = " is out of date: run `iotix lua lua/tools/docs.lua`"

function TestFiles:test_the_reference_is_up_to_date()
  luaunit.assertTrue(read "lua/README.md" == render.readme(api), "lua/README.md" .. remedy)
end

function TestFiles:test_the_editor_stubs_are_up_to_date_and_lua()
  local text = render.stubs(api)
  luaunit.assertTrue(read "lua/types/iotix.lua" == text, "lua/types/iotix.lua" .. remedy)
  luaunit.assertNotNil(loadstring(text))
end

os.exit(luaunit.LuaUnit.run())
