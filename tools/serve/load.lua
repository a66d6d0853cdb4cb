-- Load on `decap serve`, by wrk: answers a second, how long they take, and how many requests are refused.
--
--     decap serve --listen 127.0.0.1:8098 &
--     PHOTO=photo.jpg wrk -t1 -c8 -d20s --timeout 30s -s tools/serve/load.lua http://127.0.0.1:8098/v1/caption

local file = assert(io.open(assert(os.getenv("PHOTO"), "set PHOTO to a JPEG"), "rb"))
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"] = "image/jpeg"
file:close()

local threads = {}
function setup(thread) table.insert(threads, thread) end

function init() answered, refused, others = 0, 0, 0 end

function response(status)
  if status == 200 then answered = answered + 1
  elseif status == 429 then refused = refused + 1
  else others = others + 1 end
end

function done(summary, latency)
  local sums = { answered = 0, refused = 0, others = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(sums) do sums[name] = sums[name] + thread:get(name) end
  end
  print(string.format("%d answered, %d refused (429), %d others; %.1f answers/s, p50 %.0f ms, p99 %.0f ms",
    sums.answered, sums.refused, sums.others, sums.answered / (summary.duration / 1e6),
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
