-- Parameter files, matchers and checked options.
local fake = require "tests.lua.fake_core"
local data = require "iotix.data"
local luaunit = require "luaunit"
local match = require "iotix.match"
local options = require "iotix.options"

TestCsv = {}

function TestCsv:test_rows_by_header()
  luaunit.assertEquals(data.parse_csv "id,name\n007,a\n8,b\n", { { id = "007", name = "a" }, { id = "8", name = "b" } })
end

function TestCsv:test_quotes_separators_and_line_ends()
  local text = 'a,b\r\n"x,y","say ""hi"""\r\n"two\r\nlines",\r\n,""'
  luaunit.assertEquals(data.parse_csv(text), { { a = "x,y", b = 'say "hi"' }, { a = "two\r\nlines", b = "" }, { a = "", b = "" } })
end

function TestCsv:test_last_line_without_end_and_empty_lines()
  luaunit.assertEquals(data.parse_csv "a,b\n\n1,2\n\n3,", { { a = "1", b = "2" }, { a = "3", b = "" } })
end

function TestCsv:test_byte_order_mark()
  luaunit.assertEquals(data.parse_csv "\239\187\191a\n1\n", { { a = "1" } })
end

function TestCsv:test_settings()
  luaunit.assertEquals(data.parse_csv("1;2\n3;x", { header = false, separator = ";", numbers = true }), { { 1, 2 }, { 3, "x" } })
  luaunit.assertEquals(data.parse_csv("a\tb\n-1.5e3\t0x", { separator = "\t", numbers = true }), { { a = -1500, b = "0x" } })
end

function TestCsv:test_faults_name_the_line()
  local function message(text)
    local rows, problem = data.parse_csv(text)
    luaunit.assertNil(rows)
    return problem
  end
  luaunit.assertStrContains(message 'a,b\n1,"x\n2,3', "line 2: a quoted field has no end")
  luaunit.assertStrContains(message 'a,b\n1,"x"y', "line 2: text after a quoted field")
  luaunit.assertStrContains(message 'a,b\n"1\n2",x"y"', "line 3: a quote inside")
  luaunit.assertStrContains(message 'a,b\n\n"1\n1",2\n1,2,3\n', "line 5: 3 fields, but the header names 2")
  luaunit.assertStrContains(message "a,b,a\n", 'line 1: two columns are called "a"')
  luaunit.assertStrContains(message "", "empty")
end

TestLoad = { setUp = fake.reset }

function TestLoad:test_by_kind_of_file()
  fake.files["a.csv"], fake.files["b.JSON"] = "x\n1\n", '[{"x":1}]'
  luaunit.assertEquals(data.load "a.csv", { { x = "1" } })
  luaunit.assertEquals(data.load("b.JSON")[1].x, 1)
end

function TestLoad:test_errors()
  fake.files["bad.json"], fake.files["bad.csv"] = "{", '"'
  luaunit.assertErrorMsgContains("gone.csv: No such file", data.load, "gone.csv")
  luaunit.assertErrorMsgContains("t:data: bad.json: ", data.load, "bad.json")
  luaunit.assertErrorMsgContains("t:data: bad.csv: line 1", data.load, "bad.csv")
  luaunit.assertErrorMsgContains('did you mean "header"', data.load, "a.csv", { heade = false })
  luaunit.assertErrorMsgContains("one character", data.load, "a.csv", { separator = ", " })
end

TestMatch = {}

local function matches(matcher, payload)
  return match.compile(matcher) { topic = "t", payload = payload }
end

function TestMatch:test_patterns_and_functions()
  luaunit.assertTrue(matches("^ab+$", "abbb"))
  luaunit.assertFalse(matches("^ab+$", "abbbc"))
  luaunit.assertTrue(matches(function(m) return m.topic == "t" end, ""))
  luaunit.assertFalse(matches(function() end, ""))
  luaunit.assertTrue(matches(nil, ""))
end

function TestMatch:test_broken_patterns()
  luaunit.assertEquals({ match.compile "[a" }, { nil, '"[a" is no Lua pattern: malformed pattern (missing \']\')' })
  luaunit.assertErrorMsgContains('"x%" is no Lua pattern', match.compile "x%", { payload = "xx" })
end

function TestMatch:test_tables_are_contained_in_the_payload()
  local payload = '{"type":"alert","device":{"id":"d1","level":3},"list":[1,2]}'
  luaunit.assertTrue(matches({ type = "alert" }, payload))
  luaunit.assertTrue(matches({ device = { level = 3 }, list = { 1 } }, payload))
  luaunit.assertTrue(matches({ device = { level = function(v) return v > 2 end } }, payload))
  luaunit.assertFalse(matches({ device = { level = 4 } }, payload))
  luaunit.assertFalse(matches({ gone = function() return true end }, payload))
  luaunit.assertFalse(matches({ type = { x = 1 } }, payload))
  luaunit.assertFalse(matches({ type = "alert" }, "no json"))
  luaunit.assertFalse(matches({ type = "alert" }, "5"))
end

TestOptionTypes = {}

local specs = {
  wait = { type = "duration", default = "10s", max = 100, doc = "" },
  size = { type = "integer", min = 1, max = 10, doc = "" },
  many = { type = "count", doc = "" },
  mode = { type = "string", values = { "fast", "slow" }, doc = "" },
  any = { type = "number|string", doc = "" },
  flag = { type = "boolean", default = true, doc = "" },
}

local function problem(given)
  local result, text = options.parse(given, specs)
  luaunit.assertNil(result)
  return text
end

function TestOptionTypes:test_good_ones()
  luaunit.assertEquals(options.parse({ size = 3, many = "2k", mode = "slow", any = "x", wait = 5, flag = false }, specs),
    { size = 3, many = 2000, mode = "slow", any = "x", wait = 5, flag = false })
  luaunit.assertEquals(options.parse(nil, specs), { wait = 10, flag = true })
end

function TestOptionTypes:test_bad_ones()
  luaunit.assertEquals(problem { size = 0 }, '"size" must be a whole number between 1 and 10, not 0')
  luaunit.assertStrContains(problem { size = 2.5 }, "2.5")
  luaunit.assertStrContains(problem { size = 0 / 0 }, '"size"')
  luaunit.assertStrContains(problem { wait = "2m" }, "at most 100")
  luaunit.assertStrContains(problem { wait = -1 }, '"wait" must be a duration')
  luaunit.assertStrContains(problem { mode = "fsat" }, 'must be "fast" or "slow", not "fsat"; did you mean "fast"?')
  luaunit.assertStrContains(problem { any = true }, "a number or a text, not true")
  luaunit.assertStrContains(problem { flag = "yes" }, 'true or false, not "yes"')
  luaunit.assertStrContains(problem { sise = 3 }, 'unknown option "sise"; did you mean "size"?')
  luaunit.assertStrContains(problem { "x" }, "without a name")
  luaunit.assertStrContains(problem "x", "table of options")
end

os.exit(luaunit.LuaUnit.run())
