---@meta iotix
-- Written by lua/tools/docs.lua from lua/iotix/api.lua: edit that.

---@class iotix
---@field version string
local iotix = { json = { null = nil }, metric = {}, options = {} }

---@class iotix.scenario.scenario
---@field behaviors? table name = behaviour
---@field description? string one sentence for reports
---@field generators? table name = function(config, device) that returns function(tick, now)
---@field limits? table limits of the judgement on this host, as of `--limit`: ["lateness.degraded"] = "20ms", or "off"
---@field name string name of the run
---@field onError? "device"|"run" what an error in a device's script ends
---@field options? table names and defaults of what -e name=value may change
---@field protocols? table name = protocol
---@field run function run(t, prepared): the scenario
---@field setup? function setup(t), before run; its result goes to run and teardown
---@field strategies? table { launch = { name = … }, dropout = { name = … } }
---@field tags? table tags of the run
---@field teardown? function teardown(t, prepared), after run, also when that failed or was interrupted
---@field thresholds? table metric = "p(95)<500ms", a list of such texts, or { threshold, abortOnFail }

---Declares the scenario of a file. The file runs in every process, so its top level only defines things: files and waits belong into `setup`, `run` and `teardown`.
---@param scenario iotix.scenario.scenario
---@return table # the scenario, which the file must return
function iotix.scenario(scenario) end

---Declares a sum of one's own. Like the other kinds it works in scenarios and in workers, counts from 0, and may stand in thresholds when it is declared at the top level.
---@param name string letters, digits, `_` and `.`
---@return iotix.Metric # the metric
function iotix.metric.counter(name) end

---Declares a value that goes up and down: the last one counts.
---@param name string as above
---@return iotix.Metric # the metric
function iotix.metric.gauge(name) end

---Declares a share: of the values added, how many were true (or not 0).
---@param name string as above
---@return iotix.Metric # the metric
function iotix.metric.rate(name) end

---Declares a distribution, in milliseconds: percentiles, average, minimum and maximum.
---@param name string as above
---@return iotix.Metric # the metric
function iotix.metric.trend(name) end

---Writes JSON.
---@param value any texts, numbers, booleans, `iotix.json.null` and tables of these
---@return string? # JSON with sorted keys and all digits of numbers
---@return string? # or why not
function iotix.json.encode(value) end

---Reads JSON.
---@param text string JSON
---@return any # the value; null is `iotix.json.null`
---@return string? # or, after nil, what is wrong and where
function iotix.json.decode(text) end

---Marks a table as an array, so that an empty one is written `[]` and not `{}`.
---@param list? table default: an empty one
---@return table # the list
function iotix.json.array(list) end

---Checks a table of options, as every function here does: for generators and strategies of one's own.
---@param given table? what a user wrote
---@param specs table name = { type, default, min, max, values, required, doc }; types: number integer boolean string table list function any duration count, joined by `|`
---@return table? # values with defaults; durations in seconds
---@return string? # or what is wrong
function iotix.options.parse(given, specs) end

---`setup(t)`, `run(t, prepared)` and `teardown(t, prepared)` get it; `prepared` is what `setup` returned.
---@class iotix.T
---@field options table the scenario's options, as the command line set them; unknown names are errors
---@field seed string of the run
local T = {}

---@class iotix.T.group.group
---@field connection? table laid over the model's connection
---@field count? integer|string how many devices
---@field group? string the group's id; default: chosen
---@field id? string pattern of device ids with {index} in it; default "{groupId}-{index}"
---@field model string|table a model's id, a file's path, or a model as a table
---@field tags? table tags of the group's metrics

---Creates a group of devices of one model.
---@param group iotix.T.group.group
---@return iotix.Fleet # the group; nothing runs yet
function T:group(group) end

---@class iotix.T.device.device
---@field connection? table laid over the model's connection
---@field group? string the group's id; default: chosen
---@field id? string pattern of device ids with {index} in it; default "{groupId}-{index}"
---@field model string|table a model's id, a file's path, or a model as a table
---@field tags? table tags of the group's metrics

---Creates a single device: a group of one, with index 0.
---@param device iotix.T.device.device
---@return iotix.Device # the device
function T:device(device) end

---Waits. Everything else goes on.
---@param duration string|number `"1m30s"`, `"250ms"`, or seconds
function T:sleep(duration) end

---The run's clock.
---@return number # seconds since the run started
function T:now() end

---The calendar's clock.
---@return integer # milliseconds since 1970
function T:wall() end

---Records a check. A failed one makes the run fail (exit code 99) and lets it go on.
---@param name string what is true when it passes
---@param condition any nil and false fail
---@param tags? table|string tags; a text is the reason, which log and reports show if the check failed
---@return any # the condition
function T:check(name, condition, tags) end

---Records a failed check of that name and ends the scenario; `teardown` still runs.
---@param message string the reason
function T:fail(message) end

---A line for the log.
---@param format string as in string.format
---@param ... any its arguments
function T:log(format, ...) end

---A warning for the log.
---@param format string as in string.format
---@param ... any its arguments
function T:warn(format, ...) end

---Marks an instant in reports and in the event stream.
---@param name string what happened
---@param data? any more about it, as JSON can say it
function T:event(name, data) end

---A metric's state at this moment.
---@param name string such as `mqtt.publish.latency`, or one of your own
---@param tags? table names and values that tell samples of one name apart
---@return table # `kind count value min max avg med p90 p95 p99 rate`, as far as the kind has them and there are samples; times in milliseconds, the rate of a counter per second
function T:metric(name, tags) end

---A random number; the same seed gives the same ones. `math.random` is this, too.
---@param m? integer as math.random
---@param n? integer as math.random
---@return number # from the run's seed
function T:random(m, n) end

---@class iotix.T.data.settings
---@field header? boolean the first line of a CSV file names its columns
---@field numbers? boolean turn fields that are numbers into numbers
---@field separator? string between the fields of a CSV file, one character

---Reads a file of parameters: CSV (RFC 4180) or JSON.
---@param path string beside the scenario
---@param settings? iotix.T.data.settings
---@return table # rows by the names of the header; for *.json the value
function T:data(path, settings) end

---@class iotix.T.http.request
---@field body? string request body
---@field headers? table request headers by name
---@field json? any request body as a value; sets Content-Type
---@field method? "GET"|"POST"|"PUT"|"PATCH"|"DELETE"|"HEAD"|"OPTIONS" default: GET, POST with a body
---@field timeout? string|number for the whole request
---@field url string http:// or https:// address

---A request to a backend's other side. Any status is an answer; a text alone is a GET of that address.
---@param request iotix.T.http.request|string
---@return table # `status`, `headers` by their names in lower case, `body`, `latencyMs`, and `json`: the decoded body, nil if it is none
function T:http(request) end

---@class iotix.T.subscribe.settings
---@field limit? integer|string messages kept until they are read; more are dropped and counted
---@field password? string password at the broker
---@field qos? integer quality of service
---@field username? string user name at the broker

---Listens with a client of its own, as any other subscriber would.
---@param topic string filter, with `+` and `#`
---@param settings? iotix.T.subscribe.settings
---@return iotix.Subscription # after the broker confirmed it
function T:subscribe(topic, settings) end

---@class iotix.T.observe.settings
---@field carry? "auto"|"field"|"property" where the sequence travels: in a field of JSON payloads, or in an MQTT 5 user property `seq`; auto: in the field where the payload is a JSON object, else in the property
---@field field? string name of that field
---@field lateAfter? string|number a message is late if it arrives so long after it was due; default: none is
---@field password? string password at the broker
---@field qos? integer quality of service of the observers' subscriptions; by 1 nothing is lost when an observer's connection breaks, and what the broker repeats of messages by QoS 2 is no duplicate; by 2 such a break can make the run invalid
---@field settle? string|number in the end, what has not arrived so long after the last arrival is lost
---@field share? integer observer processes; more than one share the subscription (`$share/…`), and the order is not judged
---@field topics? string|table[] topic filters that do not overlap
---@field username? string user name at the broker

---Opens the delivery ledger: observers in processes of their own account for every message to these topics, by device, stream and sequence: delivered, lost, duplicated, reordered, late, corrupt. From here on messages carry a sequence (38 characters, which also say when they were due and guard the payload); summary and reports get a section, thresholds the metrics `delivery.*`. Once in a run, and best before the devices start.
---@param settings? iotix.T.observe.settings
---@return iotix.Ledger # once every message that is published from now on is accounted for
function T:observe(settings) end

---@class iotix.T.message.wanted
---@field after? function called once the subscription stands: what makes the message come
---@field match? function|table|string function(message), a table that the JSON payload must contain, or a Lua pattern for it; default: any
---@field qos? integer quality of service
---@field topic string topic filter
---@field within? string|number how long to wait

---Waits for one message and records the check `message on TOPIC`. A table in `match` must be contained in the JSON payload: names that it does not list do not matter, and functions in it judge their value.
---@param wanted iotix.T.message.wanted
---@return table? # the message (see `subscription:next`)
---@return string? # or what came instead
function T:expect_message(wanted) end

---Starts a task. Its error ends the scenario unless somebody joins it; tasks end when `run` does.
---@param f function runs beside the caller
---@param name? string for messages
---@return iotix.Task # the task
function T:spawn(f, name) end

---Runs functions beside each other and waits for all. The first error cancels the others and is raised.
---@param functions function[] run at once
---@return table # what each of them returned
function T:parallel(functions) end

---Calls a function on a fixed rhythm until `run` ends. The rhythm does not drift; what a slow call overruns is left out.
---@param interval string|number duration
---@param f function f(k), k = 1, 2, …; returning false ends it
---@return iotix.Task # the task
function T:every(interval, f) end

---Waits until a function returns something true.
---@param f function asked again and again
---@param timeout? string|number default "60s"
---@param what? string for the error
---@return any # what f returned
function T:wait_until(f, timeout, what) end

---What `t:group` returns.
---@class iotix.Fleet
---@field id string the group's id
---@field size integer how many devices it has
local Fleet = {}

---Starts the devices that are not running. Returns at once: `fleet:wait` waits.
---@param launch? table|function `strategy` and its settings (see Strategies), or a function(k) that returns the seconds after which device k starts; default: all at once
---@return integer # how many devices this call launches
function Fleet:start(launch) end

---@class iotix.Fleet.stop.stop
---@field drain? string|number how long unacknowledged messages are waited for
---@field timeout? string|number an error after this time; default: "60s" after the drain

---Stops all devices politely, after their last messages were confirmed, and waits until they have stopped.
---@param stop? iotix.Fleet.stop.stop
---@return integer # how many devices this call stops
function Fleet:stop(stop) end

---@class iotix.Fleet.wait.wanted
---@field connected? number|string how many devices must be connected: a number, or "95%"
---@field created? number|string how many devices must be created: a number, or "95%"
---@field dropped? number|string how many devices must be dropped: a number, or "95%"
---@field error? number|string how many devices must be error: a number, or "95%"
---@field running? number|string how many devices must be running: a number, or "95%"
---@field starting? number|string how many devices must be starting: a number, or "95%"
---@field stopped? number|string how many devices must be stopped: a number, or "95%"
---@field stopping? number|string how many devices must be stopping: a number, or "95%"
---@field timeout? string|number an error after this time; default: "60s" after the launch ends

---Waits until as many devices are in each of the named states.
---@param wanted iotix.Fleet.wait.wanted
---@return table # the counts that ended the wait
function Fleet:wait(wanted) end

---Counts devices.
---@param state? string one of created, starting, running, stopping, stopped, dropped, error, connected
---@return integer # devices in that state; without one: all of the group
function Fleet:count(state) end

---All counts at once.
---@return table # every state's number, and `sent`, `acked`, `received`
function Fleet:counts() end

---@class iotix.Fleet.dropout.dropout
---@field count? integer|string how many of the running devices; wins over percentage
---@field mode? "abort"|"close"|"silent" abort: reset the connection, so that the will is published; close: politely; silent: stop talking
---@field percentage? number share of the running devices; neither: all
---@field reconnect? boolean whether dropped devices come back
---@field reconnectDelayMs? number when, from each device's own drop
---@field select? function function(device) that says whether a device may be chosen; runs in the workers
---@field strategy? string|function
---@field [string] any

---Lets devices fall out, chosen at random by the run's seed among those that are running. Returns at once: `dropout:wait` waits.
---@param dropout iotix.Fleet.dropout.dropout
---@return iotix.Dropout # once the devices were chosen
function Fleet:dropout(dropout) end

---@class iotix.Fleet.each.which
---@field count? integer|string how many; default: all from there
---@field first? integer index of the first device

---Calls a function with each device, where the device lives. The function travels: its upvalues must be plain data or modules, else an error names the one that is not.
---@param f function f(device), runs in the workers (see Devices in workers)
---@param which? iotix.Fleet.each.which
---@return integer # devices visited
---@return integer # how many of the calls failed: by an error, or by returning false
function Fleet:each(f, which) end

---One device.
---@param index integer 0 to count − 1
---@return iotix.Device # the device
function Fleet:device(index) end

---The id that a device has, by the group's pattern.
---@param index integer 0 to count − 1
---@return string # its id
function Fleet:device_id(index) end

---Some devices, chosen at random by the run's seed.
---@param n integer how many; more than there are means all
---@return iotix.Device[] # in the order of their indexes
function Fleet:sample(n) end

---Changes what all devices report.
---@param attribute string name of a telemetry attribute
---@param changes? any a value: from now on constant; a table: settings laid over its generator's (a mean that new bounds leave out goes to their middle); nil: the model's own again
---@return iotix.Fleet # the group
function Fleet:set(attribute, changes) end

---Gives all devices a command, as if it came over the protocol.
---@param name string of a command of the model
---@param parameters? table of the command
---@return integer # devices visited
---@return integer # how many of them refused
function Fleet:command(name, parameters) end

---What `t:device`, `fleet:device` and `fleet:sample` return.
---@class iotix.Device
---@field id string device id
---@field index integer place in its group
---@field group string group id
---@field fleet iotix.Fleet the group
local Device = {}

---Starts the device.
---@return iotix.Device # the device
function Device:start() end

---Stops the device politely.
---@return iotix.Device # the device
function Device:stop() end

---The device's state.
---@return string # `created starting running stopping stopped dropped error`
function Device:status() end

---@class iotix.Device.wait.wanted
---@field state "created"|"starting"|"running"|"stopping"|"stopped"|"dropped"|"error" the state to wait for
---@field timeout? string|number an error after this time

---Waits for a state.
---@param wanted iotix.Device.wait.wanted
---@return iotix.Device # the device
function Device:wait(wanted) end

---@class iotix.Device.publish.how
---@field qos? integer quality of service; default: the connection's
---@field retain? boolean whether the broker keeps the message

---Publishes a message over the device's connection.
---@param topic string? nil: the topic of the model's connection
---@param payload string|table text or bytes as they are; a table becomes JSON
---@param how? iotix.Device.publish.how
function Device:publish(topic, payload, how) end

---What the device last reported.
---@param name string of a telemetry attribute
---@return any # the last published value, or nil
function Device:value(name) end

---All last published values.
---@return table # by attribute
function Device:values() end

---Changes what this device reports.
---@param attribute string name of a telemetry attribute
---@param changes? any as in `fleet:set`
---@return iotix.Device # the device
function Device:set(attribute, changes) end

---Gives the device a command, as if it came over the protocol.
---@param name string of a command of the model
---@param parameters? table of the command
function Device:command(name, parameters) end

---@class iotix.Device.disconnect.how
---@field mode? "abort"|"close"|"silent" abort: reset the connection, so that the will is published; close: politely; silent: stop talking
---@field reconnectDelayMs? number when to come back; default: by the model's reconnect policy

---Lets the connection go.
---@param how? iotix.Device.disconnect.how
---@return iotix.Device # the device
function Device:disconnect(how) end

---Runs a function where the device lives.
---@param f function f(device), runs in the device's worker; travels as in `fleet:each`
---@return any # its result, as JSON can say it
function Device:run(f) end

---What `fleet:dropout` returns.
---@class iotix.Dropout
---@field id integer of the dropout
---@field eligible integer devices that could be chosen
---@field chosen integer devices that were
---@field estimatedMs number until the last one drops
local Dropout = {}

---Waits until all chosen devices have dropped and, if they reconnect, are back.
---@param timeout? string|number default: a minute more than the dropout should take
---@return table # as `dropout:progress`
function Dropout:wait(timeout) end

---How far it is. `ended` are devices that were stopped while they were down; `backMs` holds `p50 p90 p99 p100` of the time from a drop to being back.
---@return table # `eligible chosen dropped alreadyGone back ended cancelled done backMs`
function Dropout:progress() end

---No further drops; dropped devices come back by their rule.
---@return iotix.Dropout # the dropout
function Dropout:cancel() end

---What `t:subscribe` returns.
---@class iotix.Subscription
---@field topic string the filter
local Subscription = {}

---The next message. `at` is its arrival in seconds of `t:now`.
---@param timeout? string|number default "60s"
---@return table? # `topic payload qos retain at duplicate`, and `json`: the decoded payload; nil after the timeout
function Subscription:next(timeout) end

---Messages one by one.
---@param timeout? string|number quiet time that ends the loop; default "5s"
---@return function # an iterator
function Subscription:messages(timeout) end

---@class iotix.Subscription.expect.wanted
---@field match? function|table|string function(message), a table that the JSON payload must contain, or a Lua pattern for it; default: any
---@field within? string|number how long to wait

---Waits for a message; records no check.
---@param wanted? iotix.Subscription.expect.wanted
---@return table? # the first message that matches
---@return string? # or what came instead
function Subscription:expect(wanted) end

---Counts messages.
---@return integer # messages received so far, dropped ones included
function Subscription:count() end

---Counts what was lost here.
---@return integer # messages that found the queue full
function Subscription:dropped() end

---Counts the queue.
---@return integer # messages that wait to be read
function Subscription:pending() end

---Ends the subscription.
function Subscription:close() end

---What `t:observe` returns.
---@class iotix.Ledger
local Ledger = {}

---The account so far. What is lost is known when the run has ended; `missing` is what has not arrived although a later message of its stream has.
---@param tags? table such as `{ group = "env" }`; default: all
---@return table # `sent unwatched delivered missing inFlight duplicated reordered late stale corrupt unknown foreign retained` up to now
function Ledger:counts(tags) end

---Waits for what is on its way.
---@param timeout? string|number default "30s"
---@return table? # the counts, once all messages sent until now have arrived; nil after the timeout
---@return string? # or how many did
function Ledger:wait(timeout) end

---What `t:spawn` and `t:every` return.
---@class iotix.Task
local Task = {}

---Waits for the task's end.
---@param timeout? string|number default "60s"
---@return any # what the function returned
---@return string? # "timeout" after nil: it is still running
function Task:join(timeout) end

---Ends the task at its next wait.
function Task:cancel() end

---What `iotix.metric.counter` and its kin return.
---@class iotix.Metric
---@field name string of the metric
---@field kind string `counter gauge rate trend`
local Metric = {}

---Adds a sample.
---@param value? number|boolean counter: at least 0, default 1; rate: true or false; trend: milliseconds
---@param tags? table names and values that tell samples of one name apart
function Metric:add(value, tags) end

---What generators, behaviours, selectors and the functions of `fleet:each` and `device:run` get. They run in the process that holds the device: what they change outside of the device stays there.
---@class iotix.WorkerDevice
---@field id string device id
---@field index integer place in its group
---@field group string group id
---@field model string model id
---@field status string `created starting running stopping stopped dropped error`
---@field tags table of the group
---@field state table for values of your own, kept while the device runs
local WorkerDevice = {}

---Publishes a message.
---@param topic string? nil: the topic of the model's connection
---@param payload string|table text, bytes, or a table for JSON
---@param how? table { qos, retain }
---@return boolean? # true
---@return string? # or, after nil, why not
function WorkerDevice:publish(topic, payload, how) end

---A last published value.
---@param name string of an attribute
---@return any # last published, or nil
function WorkerDevice:value(name) end

---All of them.
---@return table # by attribute
function WorkerDevice:values() end

---Changes what the device reports.
---@param attribute string name
---@param changes? any as `fleet:set`
function WorkerDevice:set(attribute, changes) end

---Lets the connection go: mode `abort`, `close` or `silent`.
---@param how? table { mode, reconnectDelayMs }
function WorkerDevice:disconnect(how) end

---Calls a function later; not after the device stopped.
---@param delay string|number duration
---@param f function|string f(device), or a name for `on_timer`
---@return table # with `:cancel()`
function WorkerDevice:after(delay, f) end

---Calls a function on a fixed rhythm until the device stops.
---@param interval string|number duration
---@param f function|string as above
---@return table # with `:cancel()`
function WorkerDevice:every(interval, f) end

---The same seed gives each device the same numbers.
---@param m? integer as math.random
---@param n? integer as math.random
---@return number # of this device's own sequence
function WorkerDevice:random(m, n) end

---Fills in placeholders.
---@param text string with `${deviceId}` and the like
---@param parameters? table of a command
---@return string # filled in
function WorkerDevice:render(text, parameters) end

---Fills in placeholders; a text that is exactly one takes the value's own type.
---@param json string JSON text
---@param parameters? table of a command
---@return string # JSON
function WorkerDevice:render_json(json, parameters) end

---Whether a condition is true of the last published values.
---@param condition string `"power > 0 && mode == 'on'"`
---@return boolean # false while a value is missing
function WorkerDevice:holds(condition) end

---Gives the device a command.
---@param name string of a command
---@param json? string parameters as JSON
---@return boolean? # true
---@return string? # or why not
function WorkerDevice:command(name, json) end

---As `t:event`.
---@param name string what happened
---@param data? any more about it
function WorkerDevice:event(name, data) end

---As `t:log`, with the device's id.
---@param level? string `error warn info debug`
---@param text string a line
function WorkerDevice:log(level, text) end

return iotix
