-- Writes lua/README.md and lua/types/iotix.lua: iotix lua lua/tools/docs.lua, in the project's folder.
local api = require "iotix.api"
local render = dofile "lua/tools/render.lua"

for path, text in pairs { ["lua/README.md"] = render.readme(api), ["lua/types/iotix.lua"] = render.stubs(api) } do
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end
