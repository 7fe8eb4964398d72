-- Writes a C file with the given Lua modules (as bytecode, line numbers kept), scenarios and other texts.
-- usage: luajit embed.lua OUTPUT.c FILE…
local output = assert(arg[1])
local function bytes(s)
  local parts = {}
  for i = 1, #s do
    parts[i] = s:byte(i) .. (i % 24 == 0 and ",\n" or ",")
  end
  return table.concat(parts)
end

local entries, blobs = {}, {}
for i = 2, #arg do
  local path = arg[i]
  local data
  if path:match "%.lua$" and not path:match "^lua/bench/" then -- scenarios travel to workers as text
    data = string.dump(assert(loadfile(path)), false)
  else
    local f = assert(io.open(path, "rb"))
    data = f:read "*a"
    f:close()
  end
  blobs[#blobs + 1] = ("static const unsigned char blob%d[] = {\n%s0};\n"):format(i, bytes(data))
  entries[#entries + 1] = ("    {%q, (const char *)blob%d, %d},\n"):format(path, i, #data)
end

local f = assert(io.open(output, "w"))
f:write '#include "script/embedded.h"\n\n'
f:write(table.concat(blobs, "\n"), "\n")
f:write("const struct ix_embedded ix_embedded_files[] = {\n", table.concat(entries), "    {0, 0, 0}};\n")
f:close()
