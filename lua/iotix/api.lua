-- The description of everything that scripts can call: lua/tools/docs.lua writes lua/README.md and the editor stubs
-- lua/types/iotix.lua from it. Tables of options are the ones that the functions check.
local data = require "iotix.data"
local device = require "iotix.device"
local fleet = require "iotix.fleet"
local http = require "iotix.http"
local observe = require "iotix.observe"
local scenario = require "iotix.scenario"
local subscription = require "iotix.subscription"

local function any(name, text)
  return { name = name, type = "any", text = text }
end

local function arg(name, type, text)
  return { name = name, type = type, text = text }
end

local function optional(name, type, text)
  return { name = name, type = type, text = text, optional = true }
end

local tags = optional("tags", "table", "names and values that tell samples of one name apart")

return {
  {
    title = "The module",
    text = [[`local iotix = require "iotix"`]],
    functions = {
      {
        name = "iotix.scenario",
        args = { { name = "scenario", options = scenario.keys } },
        returns = { { "table", "the scenario, which the file must return" } },
        text = "Declares the scenario of a file. The file runs in every process, so its top level only defines things: "
          .. "files and waits belong into `setup`, `run` and `teardown`.",
        errors = "Unknown keys and wrong values, with a suggestion (exit code 104).",
        example = [[
return iotix.scenario {
  name = "first",
  options = { devices = 100 },
  thresholds = { ["mqtt.publish.latency"] = "p(95)<500ms" },
  run = function(t)
    local fleet = t:group { model = "environmental-sensor-v1", count = t.options.devices }
    fleet:start()
    fleet:wait { connected = "100%" }
  end,
}]],
      },
      {
        name = "iotix.metric.counter",
        args = { arg("name", "string", "letters, digits, `_` and `.`") },
        returns = { { "iotix.Metric", "the metric" } },
        text = "Declares a sum of one's own. Like the other kinds it works in scenarios and in workers, counts from 0, and may "
          .. "stand in thresholds when it is declared at the top level.",
        example = [[
local orders = iotix.metric.counter "orders"
orders:add(3, { shop = "north" })]],
      },
      {
        name = "iotix.metric.gauge",
        args = { arg("name", "string", "as above") },
        returns = { { "iotix.Metric", "the metric" } },
        text = "Declares a value that goes up and down: the last one counts.",
      },
      {
        name = "iotix.metric.rate",
        args = { arg("name", "string", "as above") },
        returns = { { "iotix.Metric", "the metric" } },
        text = "Declares a share: of the values added, how many were true (or not 0).",
      },
      {
        name = "iotix.metric.trend",
        args = { arg("name", "string", "as above") },
        returns = { { "iotix.Metric", "the metric" } },
        text = "Declares a distribution, in milliseconds: percentiles, average, minimum and maximum.",
      },
      {
        name = "iotix.json.encode",
        args = { any("value", "texts, numbers, booleans, `iotix.json.null` and tables of these") },
        returns = { { "string?", "JSON with sorted keys and all digits of numbers" }, { "string?", "or why not" } },
        text = "Writes JSON.",
      },
      {
        name = "iotix.json.decode",
        args = { arg("text", "string", "JSON") },
        returns = { { "any", "the value; null is `iotix.json.null`" }, { "string?", "or, after nil, what is wrong and where" } },
        text = "Reads JSON.",
      },
      {
        name = "iotix.json.array",
        args = { optional("list", "table", "default: an empty one") },
        returns = { { "table", "the list" } },
        text = "Marks a table as an array, so that an empty one is written `[]` and not `{}`.",
      },
      {
        name = "iotix.options.parse",
        args = {
          arg("given", "table?", "what a user wrote"),
          arg("specs", "table", "name = { type, default, min, max, values, required, doc }; types: number integer boolean "
            .. "string table list function any duration count, joined by `|`"),
        },
        returns = { { "table?", "values with defaults; durations in seconds" }, { "string?", "or what is wrong" } },
        text = "Checks a table of options, as every function here does: for generators and strategies of one's own.",
        example = [[
local settings, message = iotix.options.parse(config, {
  period = { type = "duration", default = "24h", doc = "length of a cycle" },
})]],
      },
    },
  },
  {
    title = "The scenario's hand: t",
    class = "iotix.T",
    variable = "t",
    text = "`setup(t)`, `run(t, prepared)` and `teardown(t, prepared)` get it; `prepared` is what `setup` returned.",
    fields = {
      { "options", "table", "the scenario's options, as the command line set them; unknown names are errors" },
      { "seed", "string", "of the run" },
    },
    functions = {
      {
        name = "t:group",
        args = { { name = "group", options = fleet.group_options } },
        returns = { { "iotix.Fleet", "the group; nothing runs yet" } },
        text = "Creates a group of devices of one model.",
        errors = "An unknown or faulty model names every fault with its JSON path (exit code 104).",
        example = [[
local fleet = t:group { model = "environmental-sensor-v1", count = 1000, group = "env", id = "env-{index}" }]],
      },
      {
        name = "t:device",
        args = { { name = "device", options = fleet.device_options } },
        returns = { { "iotix.Device", "the device" } },
        text = "Creates a single device: a group of one, with index 0.",
      },
      {
        name = "t:sleep",
        args = { arg("duration", "string|number", '`"1m30s"`, `"250ms"`, or seconds') },
        text = "Waits. Everything else goes on.",
      },
      {
        name = "t:now",
        returns = { { "number", "seconds since the run started" } },
        text = "The run's clock.",
      },
      {
        name = "t:wall",
        returns = { { "integer", "milliseconds since 1970" } },
        text = "The calendar's clock.",
      },
      {
        name = "t:check",
        args = { arg("name", "string", "what is true when it passes"), any("condition", "nil and false fail"),
          optional("tags", "table|string", "tags; a text is the reason, which log and reports show if the check failed") },
        returns = { { "any", "the condition" } },
        text = "Records a check. A failed one makes the run fail (exit code 99) and lets it go on.",
        example = [[
t:check("all are back", fleet:count "connected" == fleet:count())
t:check("the answer came", answers:expect { match = { status = "ok" } })]],
      },
      {
        name = "t:fail",
        args = { arg("message", "string", "the reason") },
        text = "Records a failed check of that name and ends the scenario; `teardown` still runs.",
      },
      {
        name = "t:log",
        args = { arg("format", "string", "as in string.format"), any("...", "its arguments") },
        text = "A line for the log.",
      },
      {
        name = "t:warn",
        args = { arg("format", "string", "as in string.format"), any("...", "its arguments") },
        text = "A warning for the log.",
      },
      {
        name = "t:event",
        args = { arg("name", "string", "what happened"), optional("data", "any", "more about it, as JSON can say it") },
        text = "Marks an instant in reports and in the event stream.",
      },
      {
        name = "t:metric",
        args = { arg("name", "string", "such as `mqtt.publish.latency`, or one of your own"), tags },
        returns = { { "table", "`kind count value min max avg med p90 p95 p99 rate`, as far as the kind has them and there "
          .. "are samples; times in milliseconds, the rate of a counter per second" } },
        text = "A metric's state at this moment.",
        errors = "An unknown name, with a suggestion.",
        example = [[t:check("fast", t:metric("mqtt.publish.latency").p95 < 200)]],
      },
      {
        name = "t:random",
        args = { optional("m", "integer", "as math.random"), optional("n", "integer", "as math.random") },
        returns = { { "number", "from the run's seed" } },
        text = "A random number; the same seed gives the same ones. `math.random` is this, too.",
      },
      {
        name = "t:data",
        args = { arg("path", "string", "beside the scenario"), { name = "settings", options = data.settings, optional = true } },
        returns = { { "table", "rows by the names of the header; for *.json the value" } },
        text = "Reads a file of parameters: CSV (RFC 4180) or JSON.",
        errors = "Files that are missing, too large or malformed, with the line.",
        example = [[for _, site in ipairs(t:data "sites.csv") do t:log("%s: %s", site.id, site.city) end]],
      },
      {
        name = "t:http",
        args = { { name = "request", options = http.options } },
        returns = { { "table", "`status`, `headers` by their names in lower case, `body`, `latencyMs`, and `json`: the decoded body, nil if it is none" } },
        text = "A request to a backend's other side. Any status is an answer; a text alone is a GET of that address.",
        errors = "No connection, no answer within the timeout.",
        example = [[t:check("stored", t:http("http://localhost:9000/devices").json.total == 1000)]],
      },
      {
        name = "t:subscribe",
        args = { arg("topic", "string", "filter, with `+` and `#`"),
          { name = "settings", options = subscription.open_options, optional = true } },
        returns = { { "iotix.Subscription", "after the broker confirmed it" } },
        text = "Listens with a client of its own, as any other subscriber would.",
      },
      {
        name = "t:observe",
        args = { { name = "settings", options = observe.options, optional = true } },
        returns = { { "iotix.Ledger", "once every message that is published from now on is accounted for" } },
        text = "Opens the delivery ledger: observers in processes of their own account for every message to these topics, by "
          .. "device, stream and sequence: delivered, lost, duplicated, reordered, late, corrupt. From here on messages carry "
          .. "a sequence (38 characters, which also say when they were due and guard the payload); summary and reports get a "
          .. "section, thresholds the metrics `delivery.*`. Once in a run, and best before the devices start.",
        errors = "Overlapping or malformed topics; an attribute of a model with the field's name; a broker that refuses.",
        example = [[
t:observe { topics = "devices/#", qos = 1, lateAfter = "500ms" }
fleet:start()]],
      },
      {
        name = "t:expect_message",
        args = { { name = "wanted", options = subscription.message_options } },
        returns = { { "table?", "the message (see `subscription:next`)" }, { "string?", "or what came instead" } },
        text = "Waits for one message and records the check `message on TOPIC`. A table in `match` must be contained in the JSON "
          .. "payload: names that it does not list do not matter, and functions in it judge their value.",
        example = [[
t:expect_message {
  topic = "devices/+/alerts", match = { type = "arrhythmia" }, within = "10s",
  after = function() patient:set("heartRate", 150) end,
}]],
      },
      {
        name = "t:spawn",
        args = { arg("f", "function", "runs beside the caller"), optional("name", "string", "for messages") },
        returns = { { "iotix.Task", "the task" } },
        text = "Starts a task. Its error ends the scenario unless somebody joins it; tasks end when `run` does.",
      },
      {
        name = "t:parallel",
        args = { arg("functions", "function[]", "run at once") },
        returns = { { "table", "what each of them returned" } },
        text = "Runs functions beside each other and waits for all. The first error cancels the others and is raised.",
        example = [[
t:parallel {
  function() sensors:wait { connected = "100%" } end,
  function() gateways:wait { connected = "100%" } end,
}]],
      },
      {
        name = "t:every",
        args = { arg("interval", "string|number", "duration"), arg("f", "function", "f(k), k = 1, 2, …; returning false ends it") },
        returns = { { "iotix.Task", "the task" } },
        text = "Calls a function on a fixed rhythm until `run` ends. The rhythm does not drift; what a slow call overruns is left out.",
      },
      {
        name = "t:wait_until",
        args = { arg("f", "function", "asked again and again"), optional("timeout", "string|number", 'default "60s"'),
          optional("what", "string", "for the error") },
        returns = { { "any", "what f returned" } },
        text = "Waits until a function returns something true.",
        errors = "After the timeout, naming what was waited for.",
      },
    },
  },
  {
    title = "Groups",
    class = "iotix.Fleet",
    variable = "fleet",
    text = "What `t:group` returns.",
    fields = { { "id", "string", "the group's id" }, { "size", "integer", "how many devices it has" } },
    functions = {
      {
        name = "fleet:start",
        args = { optional("launch", "table|function", "`strategy` and its settings (see Strategies), or a function(k) that returns "
          .. "the seconds after which device k starts; default: all at once") },
        returns = { { "integer", "how many devices this call launches" } },
        text = "Starts the devices that are not running. Returns at once: `fleet:wait` waits.",
        errors = "Unknown strategies and settings; a strategy that gives no finite number.",
        example = [[
fleet:start { strategy = "batch", batchSize = 100, delayMs = 500 }
fleet:start(function(k) return math.sqrt(k) / 10 end)]],
      },
      {
        name = "fleet:stop",
        args = { { name = "stop", options = fleet.stop_options, optional = true } },
        returns = { { "integer", "how many devices this call stops" } },
        text = "Stops all devices politely, after their last messages were confirmed, and waits until they have stopped.",
        errors = "After the timeout.",
      },
      {
        name = "fleet:wait",
        args = { { name = "wanted", options = fleet.wait_options } },
        returns = { { "table", "the counts that ended the wait" } },
        text = "Waits until as many devices are in each of the named states.",
        errors = [[After the timeout: `group "env": waited 60 s for 1000 connected, reached 412 (588 starting; reasons: 580× connection refused)`.]],
        example = [[fleet:wait { connected = "95%", timeout = "2m" }]],
      },
      {
        name = "fleet:count",
        args = { optional("state", "string", "one of " .. table.concat(fleet.states, ", ")) },
        returns = { { "integer", "devices in that state; without one: all of the group" } },
        text = "Counts devices.",
      },
      {
        name = "fleet:counts",
        returns = { { "table", "every state's number, and `sent`, `acked`, `received`" } },
        text = "All counts at once.",
      },
      {
        name = "fleet:dropout",
        args = { { name = "dropout", options = fleet.dropout_options, more = "`strategy` and its settings (see Strategies)" } },
        returns = { { "iotix.Dropout", "once the devices were chosen" } },
        text = "Lets devices fall out, chosen at random by the run's seed among those that are running. Returns at once: "
          .. "`dropout:wait` waits.",
        example = [[
local outage = fleet:dropout {
  strategy = "random", percentage = 30, durationMs = 10000, reconnect = true, reconnectDelayMs = 5000,
  select = function(device) return device.index % 2 == 0 end,
}
outage:wait()]],
      },
      {
        name = "fleet:each",
        args = { arg("f", "function", "f(device), runs in the workers (see Devices in workers)"),
          { name = "which", options = fleet.each_options, optional = true } },
        returns = { { "integer", "devices visited" }, { "integer", "how many of the calls failed: by an error, or by returning false" } },
        text = "Calls a function with each device, where the device lives. The function travels: its upvalues must be plain data "
          .. "or modules, else an error names the one that is not.",
        example = [[fleet:each(function(device) device:publish(nil, { status = "audit", index = device.index }) end)]],
      },
      {
        name = "fleet:device",
        args = { arg("index", "integer", "0 to count − 1") },
        returns = { { "iotix.Device", "the device" } },
        text = "One device.",
      },
      {
        name = "fleet:device_id",
        args = { arg("index", "integer", "0 to count − 1") },
        returns = { { "string", "its id" } },
        text = "The id that a device has, by the group's pattern.",
      },
      {
        name = "fleet:sample",
        args = { arg("n", "integer", "how many; more than there are means all") },
        returns = { { "iotix.Device[]", "in the order of their indexes" } },
        text = "Some devices, chosen at random by the run's seed.",
      },
      {
        name = "fleet:set",
        args = { arg("attribute", "string", "name of a telemetry attribute"),
          optional("changes", "any", "a value: from now on constant; a table: settings laid over its generator's (a mean "
            .. "that new bounds leave out goes to their middle); nil: the model's own again") },
        returns = { { "iotix.Fleet", "the group" } },
        text = "Changes what all devices report.",
        example = [[fleet:set("temperature", { min = 60, max = 80 })]],
      },
      {
        name = "fleet:command",
        args = { arg("name", "string", "of a command of the model"), optional("parameters", "table", "of the command") },
        returns = { { "integer", "devices visited" }, { "integer", "how many of them refused" } },
        text = "Gives all devices a command, as if it came over the protocol.",
      },
    },
  },
  {
    title = "One device",
    class = "iotix.Device",
    variable = "device",
    text = "What `t:device`, `fleet:device` and `fleet:sample` return.",
    fields = { { "id", "string", "device id" }, { "index", "integer", "place in its group" }, { "group", "string", "group id" },
      { "fleet", "iotix.Fleet", "the group" } },
    functions = {
      { name = "device:start", returns = { { "iotix.Device", "the device" } }, text = "Starts the device." },
      { name = "device:stop", returns = { { "iotix.Device", "the device" } }, text = "Stops the device politely." },
      {
        name = "device:status",
        returns = { { "string", "`created starting running stopping stopped dropped error`" } },
        text = "The device's state.",
      },
      {
        name = "device:wait",
        args = { { name = "wanted", options = device.wait_options } },
        returns = { { "iotix.Device", "the device" } },
        text = "Waits for a state.",
        errors = "After the timeout, with the state that it is in.",
      },
      {
        name = "device:publish",
        args = { arg("topic", "string?", "nil: the topic of the model's connection"),
          arg("payload", "string|table", "text or bytes as they are; a table becomes JSON"),
          { name = "how", options = device.publish_options, optional = true } },
        text = "Publishes a message over the device's connection.",
        errors = "The device is not connected, or too many of its messages are unconfirmed.",
      },
      {
        name = "device:value",
        args = { arg("name", "string", "of a telemetry attribute") },
        returns = { { "any", "the last published value, or nil" } },
        text = "What the device last reported.",
      },
      { name = "device:values", returns = { { "table", "by attribute" } }, text = "All last published values." },
      {
        name = "device:set",
        args = { arg("attribute", "string", "name of a telemetry attribute"), optional("changes", "any", "as in `fleet:set`") },
        returns = { { "iotix.Device", "the device" } },
        text = "Changes what this device reports.",
      },
      {
        name = "device:command",
        args = { arg("name", "string", "of a command of the model"), optional("parameters", "table", "of the command") },
        text = "Gives the device a command, as if it came over the protocol.",
        errors = "Unknown commands, missing or wrong parameters.",
      },
      {
        name = "device:disconnect",
        args = { { name = "how", options = device.disconnect_options, optional = true } },
        returns = { { "iotix.Device", "the device" } },
        text = "Lets the connection go.",
      },
      {
        name = "device:run",
        args = { arg("f", "function", "f(device), runs in the device's worker; travels as in `fleet:each`") },
        returns = { { "any", "its result, as JSON can say it" } },
        text = "Runs a function where the device lives.",
      },
    },
  },
  {
    title = "Dropouts",
    class = "iotix.Dropout",
    variable = "dropout",
    text = "What `fleet:dropout` returns.",
    fields = { { "id", "integer", "of the dropout" }, { "eligible", "integer", "devices that could be chosen" },
      { "chosen", "integer", "devices that were" }, { "estimatedMs", "number", "until the last one drops" } },
    functions = {
      {
        name = "dropout:wait",
        args = { optional("timeout", "string|number", "default: a minute more than the dropout should take") },
        returns = { { "table", "as `dropout:progress`" } },
        text = "Waits until all chosen devices have dropped and, if they reconnect, are back.",
        errors = "After the timeout, with what happened until then.",
      },
      {
        name = "dropout:progress",
        returns = { { "table", "`eligible chosen dropped alreadyGone back ended cancelled done backMs`" } },
        text = "How far it is. `ended` are devices that were stopped while they were down; `backMs` holds `p50 p90 p99 p100` of the time from a drop to being back.",
      },
      { name = "dropout:cancel", returns = { { "iotix.Dropout", "the dropout" } },
        text = "No further drops; dropped devices come back by their rule." },
    },
  },
  {
    title = "Subscriptions",
    class = "iotix.Subscription",
    variable = "subscription",
    text = "What `t:subscribe` returns.",
    fields = { { "topic", "string", "the filter" } },
    functions = {
      {
        name = "subscription:next",
        args = { optional("timeout", "string|number", 'default "60s"') },
        returns = { { "table?", "`topic payload qos retain at duplicate`, and `json`: the decoded payload; nil after the timeout" } },
        text = "The next message. `at` is its arrival in seconds of `t:now`.",
      },
      {
        name = "subscription:messages",
        args = { optional("timeout", "string|number", 'quiet time that ends the loop; default "5s"') },
        returns = { { "function", "an iterator" } },
        text = "Messages one by one.",
        example = [[for message in t:subscribe("devices/#"):messages "2s" do t:log(message.topic) end]],
      },
      {
        name = "subscription:expect",
        args = { { name = "wanted", options = subscription.expect_options, optional = true } },
        returns = { { "table?", "the first message that matches" }, { "string?", "or what came instead" } },
        text = "Waits for a message; records no check.",
      },
      { name = "subscription:count", returns = { { "integer", "messages received so far, dropped ones included" } },
        text = "Counts messages." },
      { name = "subscription:dropped", returns = { { "integer", "messages that found the queue full" } },
        text = "Counts what was lost here." },
      { name = "subscription:pending", returns = { { "integer", "messages that wait to be read" } }, text = "Counts the queue." },
      { name = "subscription:close", text = "Ends the subscription." },
    },
  },
  {
    title = "The delivery ledger",
    class = "iotix.Ledger",
    variable = "ledger",
    text = "What `t:observe` returns.",
    functions = {
      {
        name = "ledger:counts",
        args = { optional("tags", "table", "such as `{ group = \"env\" }`; default: all") },
        returns = { { "table", "`" .. table.concat(observe.figures, " ") .. "` up to now" } },
        text = "The account so far. What is lost is known when the run has ended; `missing` is what has not arrived although a "
          .. "later message of its stream has.",
      },
      {
        name = "ledger:wait",
        args = { optional("timeout", "string|number", 'default "30s"') },
        returns = { { "table?", "the counts, once all messages sent until now have arrived; nil after the timeout" },
          { "string?", "or how many did" } },
        text = "Waits for what is on its way.",
        example = [[t:check("all arrived", ledger:wait "10s")]],
      },
    },
  },
  {
    title = "Tasks",
    class = "iotix.Task",
    variable = "task",
    text = "What `t:spawn` and `t:every` return.",
    functions = {
      {
        name = "task:join",
        args = { optional("timeout", "string|number", 'default "60s"') },
        returns = { { "any", "what the function returned" }, { "string?", '"timeout" after nil: it is still running' } },
        text = "Waits for the task's end.",
        errors = "The task's own error.",
      },
      { name = "task:cancel", text = "Ends the task at its next wait." },
    },
  },
  {
    title = "Metrics of your own",
    class = "iotix.Metric",
    variable = "metric",
    text = "What `iotix.metric.counter` and its kin return.",
    fields = { { "name", "string", "of the metric" }, { "kind", "string", "`counter gauge rate trend`" } },
    functions = {
      {
        name = "metric:add",
        args = { optional("value", "number|boolean", "counter: at least 0, default 1; rate: true or false; trend: milliseconds"), tags },
        text = "Adds a sample.",
      },
    },
  },
  {
    title = "Devices in workers",
    class = "iotix.WorkerDevice",
    variable = "device",
    text = "What generators, behaviours, selectors and the functions of `fleet:each` and `device:run` get. They run in the "
      .. "process that holds the device: what they change outside of the device stays there.",
    provided = true,
    fields = { { "id", "string", "device id" }, { "index", "integer", "place in its group" }, { "group", "string", "group id" },
      { "model", "string", "model id" }, { "status", "string", "`created starting running stopping stopped dropped error`" },
      { "tags", "table", "of the group" }, { "state", "table", "for values of your own, kept while the device runs" } },
    functions = {
      {
        name = "device:publish",
        args = { arg("topic", "string?", "nil: the topic of the model's connection"), arg("payload", "string|table", "text, bytes, or "
          .. "a table for JSON"), optional("how", "table", "{ qos, retain }") },
        returns = { { "boolean?", "true" }, { "string?", "or, after nil, why not" } },
        text = "Publishes a message.",
      },
      { name = "device:value", args = { arg("name", "string", "of an attribute") }, returns = { { "any", "last published, or nil" } },
        text = "A last published value." },
      { name = "device:values", returns = { { "table", "by attribute" } }, text = "All of them." },
      { name = "device:set", args = { arg("attribute", "string", "name"), optional("changes", "any", "as `fleet:set`") },
        text = "Changes what the device reports." },
      { name = "device:disconnect", args = { optional("how", "table", "{ mode, reconnectDelayMs }") },
        text = "Lets the connection go: mode `abort`, `close` or `silent`." },
      { name = "device:after", args = { arg("delay", "string|number", "duration"), arg("f", "function|string", "f(device), or a name for `on_timer`") },
        returns = { { "table", "with `:cancel()`" } }, text = "Calls a function later; not after the device stopped." },
      { name = "device:every", args = { arg("interval", "string|number", "duration"), arg("f", "function|string", "as above") },
        returns = { { "table", "with `:cancel()`" } }, text = "Calls a function on a fixed rhythm until the device stops." },
      { name = "device:random", args = { optional("m", "integer", "as math.random"), optional("n", "integer", "as math.random") },
        returns = { { "number", "of this device's own sequence" } }, text = "The same seed gives each device the same numbers." },
      { name = "device:render", args = { arg("text", "string", "with `${deviceId}` and the like"),
        optional("parameters", "table", "of a command") }, returns = { { "string", "filled in" } },
        text = "Fills in placeholders." },
      { name = "device:render_json", args = { arg("json", "string", "JSON text"), optional("parameters", "table", "of a command") },
        returns = { { "string", "JSON" } }, text = "Fills in placeholders; a text that is exactly one takes the value's own type." },
      { name = "device:holds", args = { arg("condition", "string", '`"power > 0 && mode == \'on\'"`') },
        returns = { { "boolean", "false while a value is missing" } }, text = "Whether a condition is true of the last published values." },
      { name = "device:command", args = { arg("name", "string", "of a command"), optional("json", "string", "parameters as JSON") },
        returns = { { "boolean?", "true" }, { "string?", "or why not" } }, text = "Gives the device a command." },
      { name = "device:event", args = { arg("name", "string", "what happened"), optional("data", "any", "more about it") },
        text = "As `t:event`." },
      { name = "device:log", args = { optional("level", "string", "`error warn info debug`"), arg("text", "string", "a line") },
        text = "As `t:log`, with the device's id." },
    },
  },
}
