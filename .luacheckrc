-- luacheck: globals are an error, except the test classes of luaunit.
std = "luajit"
max_line_length = 140
self = false
files["tests/lua"] = { allow_defined_top = true, ignore = { "122", "131" }, max_line_length = 160 }
-- Descriptions are prose; stubs are for editors, not for running.
files["lua/iotix/api.lua"] = { max_line_length = 170 }
files["lua/types"] = { max_line_length = false, ignore = { "111", "112", "113", "211", "212", "241", "631" } }
