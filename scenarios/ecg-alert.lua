-- An alert must come once: a patient's heart rate leaves its range, and the backend hears of it exactly one time.
-- Change it:  -e monitors=200   -e rate=35   (35 is too slow, 150 too fast)
-- The condition is in the model (ecg-monitor-v1): heartRate > 120 || heartRate < 50.
local iotix = require "iotix"

return iotix.scenario {
  name = "ecg-alert",
  options = { monitors = 20, rate = 150, quiet = "3s" },
  run = function(t)
    local ward = t:group { model = "ecg-monitor-v1", count = t.options.monitors, group = "ward", id = "bed-{index}" }
    ward:start { strategy = "linear", delayMs = 10 }
    ward:wait { connected = "100%" }

    local recording = t:expect_message {
      topic = "devices/+/ecg",
      match = function(message) return #message.payload == 400 end, -- 200 samples of 16 bits
    }
    t:check("ECG data are raw bytes", recording and not recording.json)

    local alerts = t:subscribe "devices/+/alerts"
    local patient = ward:sample(1)[1]
    patient:set("heartRate", t.options.rate)
    local alert = alerts:expect { match = { type = "arrhythmia", heartRate = t.options.rate }, within = "5s" }
    t:check("the alert came", alert)
    t:check("from the right bed", alert and alert.topic == "devices/" .. patient.id .. "/alerts")

    t:sleep(t.options.quiet) -- the rate stays out of range; that is no second alert
    t:check("it came once", alerts:count() == 1)

    patient:set("heartRate", nil) -- back to the model's own values, and out again
    t:sleep "2s"
    patient:set("heartRate", t.options.rate)
    t:check("a new episode is a new alert", alerts:expect { match = { type = "arrhythmia" }, within = "5s" })
    ward:stop()
  end,
}
