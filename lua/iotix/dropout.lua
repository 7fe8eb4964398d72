-- A running dropout: devices of a group that fall out, and perhaps come back.
local class = require "iotix.class"
local errors = require "iotix.errors"
local host = require "iotix.host"
local options = require "iotix.options"

local Dropout = {}

local dropout = { class = Dropout }

-- `answer` is the result of group.dropout.
function dropout.new(fleet, answer, reconnects, reconnect_delay_ms)
  return setmetatable({
    id = answer.id,
    group = fleet.id,
    eligible = answer.eligible,
    chosen = answer.chosen,
    estimatedMs = answer.estimatedMs,
    reconnects = reconnects,
    expected = (answer.estimatedMs or 0) / 1000 + (reconnects and reconnect_delay_ms / 1000 or 0),
  }, Dropout)
end

function Dropout:progress()
  return host.call("dropout:progress", "dropout.status", { id = self.id })
end

function Dropout:cancel()
  host.call("dropout:cancel", "dropout.cancel", { id = self.id })
  return self
end

function Dropout:wait(timeout)
  local limit = timeout == nil and self.expected + 60
    or options.argument("dropout:wait", "timeout", timeout, { type = "duration" })
  local last
  local done = host.poll(limit, function()
    last = host.call("dropout:wait", "dropout.status", { id = self.id })
    return last.done and (not self.reconnects or last.back + last.ended >= last.dropped) and last
  end)
  if not done then
    errors.raise("dropout of group %q: waited %s for %d devices to drop%s; %d dropped, %d were gone already%s",
      self.group, host.seconds(limit), self.chosen, self.reconnects and " and return" or "", last.dropped,
      last.alreadyGone, self.reconnects and (", %d are back"):format(last.back) or "")
  end
  return done
end

class(Dropout, "dropout", { "id", "eligible", "chosen", "estimatedMs" })

return dropout
