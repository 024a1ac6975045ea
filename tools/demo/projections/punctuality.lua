-- Later than this counts as late.
local late_minutes = 15

function init()
  return { arrivals = 0, late = 0, run = 0, longest_run = 0 }
end

-- A row per destination. An event without the data is left out.
function key(event)
  if type(event.data) ~= "table" or type(event.data.delay_minutes) ~= "number" then
    return nil
  end
  return event.tokens[3]
end

on = {}

on["flight.departed"] = function(row, event)
  row.arrivals = row.arrivals + 1
  if event.data.delay_minutes > late_minutes then
    row.late = row.late + 1
    row.run = row.run + 1
    row.longest_run = math.max(row.longest_run, row.run)
  else
    row.run = 0
  end
  return row
end
