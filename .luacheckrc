-- luacheck: globals are an error, except the test classes of luaunit.
std = "luajit"
max_line_length = 120
self = false
files["tests/lua"] = { allow_defined_top = true, ignore = { "131" }, max_line_length = 150 }
