wrk.method = "POST"
wrk.body = '{"model":"openai/gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"Is the payment service up?"}]}'
wrk.headers["Content-Type"] = "application/json"
for pair in (os.getenv("BENCH_HEADERS") or ""):gmatch("[^\n]+") do
  local name, value = pair:match("^([^:]+): (.*)$")
  wrk.headers[name] = value
end
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("BENCH_KEY") or "sk-bench")

local bad = 0
function response(status) if status ~= 200 then bad = bad + 1 end end
